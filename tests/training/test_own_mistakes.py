"""A task of the user's own with a mistake in it: the error names the part, the cause and the line."""

import re

import pytest

from training.runs import prepared
from zerograd.cli.main import main
from zerograd.errors import UsageError

HEAD = """\
import dataclasses
import torch
from torch import nn
from training.own_task import spirals
from zerograd.training import Samples
some = Samples(torch.zeros(6, 4), torch.arange(6) % 3)
def t(**fields):
    return dataclasses.replace(spirals(), **fields)
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "import nothing_here",
            "The import of mine.py failed: ModuleNotFoundError: No module named 'nothing_here' (mi",
        ),
        ("def task(:", "The import of mine.py failed: SyntaxError: invalid syntax (mine.py, line 9)."),
        (
            "task = lambda: 1 / 0",
            "The task mine.py:task failed: ZeroDivisionError: division by zero (mine.py, line 9).",
        ),
        (
            "task = t(model=lambda: 1 / 0)",
            "The model of the task 'spirals' failed: ZeroDivisionError: division by zero (",
        ),
        ("task = t(model=lambda: 3)", "The model of the task 'spirals' is int; it must be a torch.nn.Module with para"),
        ("task = t(model=nn.ReLU)", "The model of the task 'spirals' is ReLU; it must be a torch.nn.Module with param"),
        ("task = t(model=nn.Linear(4, 3))", "The model of the task 'spirals' is made already; give a function that"),
        ("task = t(model=lambda: nn.Linear(5, 3))", "The model of the task 'spirals' failed: RuntimeError: mat1 and"),
        ("task = t(samples=lambda: 1 / 0)", "The samples of the task 'spirals' failed: ZeroDivisionError: division by"),
        (
            "task = t(samples=lambda: some)",
            "The samples of the task 'spirals' failed: TypeError: they are Samples, not",
        ),
        ("task = t(samples=lambda: (some.inputs, None))", "The samples of the task 'spirals' failed: TypeError: Tens"),
        ("task = t(samples=lambda: (Samples(some.inputs[:0], some.targets[:0]), None))", "The samples of the task 's"),
        ("task = t(samples=lambda: (Samples(some.inputs[:2], some.targets), None))", "The samples of the task 'spira"),
        (
            "task = t(loss='mse')",
            "The loss of the task 'spirals' is 'mse'; it must be a function of (outputs, targets).",
        ),
        ("task = t(loss=lambda o, y: 1.0)", "The loss of the task 'spirals' failed: TypeError: it must give one numbe"),
        ("task = t(loss=lambda o, y: o)", "The loss of the task 'spirals' failed: TypeError: it must give one number"),
        ("task = t(loss=lambda o, y: o.detach().mean())", "The loss of the task 'spirals' failed: ValueError: it does"),
        ("task = t(metrics={'m': lambda o, y: 1 / 0})", "The metrics of the task 'spirals' failed: ZeroDivisionError"),
        ("task = t(schedule=lambda done: 1 / 0)", "The schedule of the task 'spirals' failed: ZeroDivisionError: div"),
        (
            "task = t(note=lambda: 1 / 0)",
            "The note of the task 'spirals' failed: ZeroDivisionError: division by zero (",
        ),
        ("task = t(epochs=0)", "epochs of the task 'spirals' must be a whole number, 1 or more, not 0."),
        ("task = t(batch_size=1.5)", "batch_size of the task 'spirals' must be a whole number, 1 or more, not 1.5."),
    ],
)
def test_a_mistake_in_a_task_is_named_before_anything_starts(tmp_path, monkeypatch, line, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"{HEAD}{line}\n")
    with pytest.raises(UsageError, match=re.escape(words)):
        prepared(task="mine.py:task")


def test_a_picture_that_fails_costs_nothing_but_the_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(f"{HEAD}task = t(picture=lambda *_: 1 / 0)\n")
    assert main(["train", "mine.py", "-q", "--epochs", "1", "--out", "run"]) == 1
    assert capsys.readouterr().err == (
        "zerograd: The picture of the task 'spirals' failed: ZeroDivisionError: division by zero (mine.py, line 9). "
        "The run is complete, and its model is saved.\n"
    )
    assert (tmp_path / "run" / "model.safetensors").exists()
