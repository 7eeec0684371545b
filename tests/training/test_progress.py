"""A bar on a terminal, plain lines anywhere else, the same numbers in both."""

import re

import pytest
from rich.console import Console

from training.conftest import Terminal
from training.runs import read_record
from zerograd.training.progress import say
from zerograd.training.report import train_and_keep
from zerograd.training.settings import Settings


def test_a_file_gets_one_plain_line_an_epoch(keep, log):
    folder = keep(epochs=3)
    *lines, accuracy, saved = log.file.getvalue().splitlines()
    assert [line.split(",")[0] for line in lines] == ["Epoch 1", "Epoch 2", "Epoch 3"]
    for line, numbers in zip(lines, read_record(folder), strict=True):
        assert f"Loss: {numbers['train_loss']:.4f}, accuracy {numbers['train_accuracy']:.1%}" in line
        assert f"lr {numbers['lr']:.3g}, gradient norm {numbers['grad_norm']:.3g}, " in line
        assert line.endswith("samples/s")
    assert accuracy.startswith(f"Test accuracy {numbers['test_accuracy']:.2%} on 450 samples")
    assert saved == f"Saved in {folder}"
    assert "\x1b" not in log.file.getvalue()


def test_a_terminal_gets_a_bar_over_the_epochs_with_the_numbers_below(tmp_path, terminal):
    train_and_keep(Settings(epochs=3, out=tmp_path), terminal)
    shown = terminal.file.getvalue()
    last = read_record(tmp_path)[-1]
    for word in ("3/3", "loss", "accuracy", "lr", "gradient norm", "samples/s", f"{last['train_loss']:.4f}"):
        assert word in shown
    assert "Epoch 1" not in shown


def test_without_colours_if_no_color_is_set(tmp_path, monkeypatch):
    def codes():
        terminal = Console(file=Terminal(), force_terminal=True, force_interactive=True, width=80)
        train_and_keep(Settings(epochs=2, out=tmp_path / str(len(list(tmp_path.iterdir())))), terminal)
        return re.findall(r"\x1b\[[0-9;]*(?:3[0-9])[0-9;]*m", terminal.file.getvalue())

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert codes()
    monkeypatch.setenv("NO_COLOR", "1")
    assert codes() == []


def test_sentences_on_a_terminal_end_between_words_and_lose_none(terminal):
    terminal.width = 20
    say(terminal, "One two three four five six seven\n\n/a/path/that/is/longer/than/a/line")
    shown = terminal.file.getvalue()
    assert shown.splitlines() == ["One two three four", "five six seven", "", "/a/path/that/is/longer/than/a/line"]


@pytest.mark.parametrize("task", ["seed"])
def test_the_seed_program_prints_its_lines_on_a_terminal_too(tmp_path, terminal, task):
    train_and_keep(Settings(task=task, out=tmp_path), terminal)
    assert terminal.file.getvalue().count("Epoch ") == 5
