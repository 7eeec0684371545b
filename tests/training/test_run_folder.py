"""A run folder is complete, its own, and holds what was trained."""

import json
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from training.runs import prepared, read_record
from zerograd.errors import RunError, UsageError
from zerograd.training.folder import RunFolder
from zerograd.training.loop import evaluate
from zerograd.training.record import json_line

PNG = b"\x89PNG"


@pytest.mark.parametrize(
    ("task", "settings"), [("digits", {"epochs": 2}), ("seed", {}), ("seed", {"epochs": 1}), ("seed", {"lr": 1e30})]
)
def test_a_run_leaves_its_files_and_no_other(keep, task, settings):
    folder = keep(task=task, **settings)
    assert sorted(file.name for file in folder.iterdir()) == [
        "checkpoints",
        "config.json",
        "curves.png",
        "model.safetensors",
        "record.jsonl",
    ]
    assert (folder / "curves.png").read_bytes().startswith(PNG)
    assert {"last.pt", "best.pt"} >= {file.name for file in (folder / "checkpoints").iterdir()} >= {"last.pt"}


def test_the_config_tells_everything_that_the_run_was_made_with(keep):
    config = json.loads((keep(epochs=1, weight_decay=0.5, seed=7) / "config.json").read_text())
    assert config["task"] == "digits"
    assert config["optimizer"] == "AdamW"
    assert config["hyperparameters"]["lr"] == 1e-2
    assert config["hyperparameters"]["weight_decay"] == 0.5
    assert config["hyperparameters"]["betas"] == [0.9, 0.999]
    assert (config["epochs"], config["batch_size"], config["seed"]) == (1, 64, 7)
    assert (config["train_samples"], config["test_samples"], config["parameters"]) == (1347, 450, 9930)
    assert config["versions"]["torch"] == torch.__version__


def test_the_last_line_holds_the_accuracy_of_the_saved_model(keep):
    folder = keep(epochs=2)
    run = prepared()
    run.model.load_state_dict(load_file(folder / "model.safetensors"))
    run.model.eval()
    record = read_record(folder)
    assert [line["epoch"] for line in record] == [1, 2]
    assert evaluate(run.job, run.job.held_out["test"]).accuracy == record[-1]["test_accuracy"]


def test_a_line_of_the_record_has_these_numbers_in_this_order(keep):
    (line,) = read_record(keep(epochs=1))
    assert list(line) == [
        "epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy",
        "lr", "grad_norm", "samples_per_second", "seconds",
    ]  # fmt: skip


def test_infinity_and_not_a_number_become_null():
    assert json_line({"a": math.nan, "b": -math.inf, "c": 1.5}) == '{"a": null, "b": null, "c": 1.5}\n'


@pytest.mark.parametrize("held", ["config.json", "record.jsonl", "curves.png", "model.safetensors"])
def test_a_run_is_never_overwritten(tmp_path, held):
    (tmp_path / held).write_text("precious")
    with pytest.raises(UsageError, match="holds a run already"):
        RunFolder.claim(tmp_path, "any", {})
    assert [file.read_text() for file in tmp_path.iterdir()] == ["precious"]


def test_an_empty_folder_and_a_new_one_are_taken(tmp_path):
    assert RunFolder.claim(tmp_path, "any", {}).path == tmp_path
    assert RunFolder.claim(tmp_path / "new" / "one", "any", {}).path.is_dir()


@pytest.mark.parametrize("below", ["", "run"])
def test_a_file_is_no_folder(tmp_path, below):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Can't write a run to"):
        RunFolder.claim(tmp_path / "file" / below, "any", {})


def test_runs_are_numbered_and_no_two_get_the_same_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        claimed = list(pool.map(lambda _: RunFolder.claim(None, "digits-adamw", {}).path, range(40)))
    assert sorted(path.as_posix() for path in claimed) == sorted(f"runs/digits-adamw-{n}" for n in range(1, 41))


def test_only_one_of_many_gets_a_folder_that_all_want(tmp_path):
    def claim(_):
        try:
            return RunFolder.claim(tmp_path / "wanted", "any", {})
        except UsageError:
            return None

    with ThreadPoolExecutor(8) as pool:
        assert sum(folder is not None for folder in pool.map(claim, range(40))) == 1


def test_who_sees_a_folder_free_too_late_does_not_get_it(tmp_path, monkeypatch):
    RunFolder.claim(tmp_path, "first", {})
    monkeypatch.setattr(Path, "exists", lambda _: False)  # both have looked before one of them wrote
    with pytest.raises(UsageError, match="holds a run already"):
        RunFolder.claim(tmp_path, "second", {})


class HalfDrawn:
    """A picture that fails when a part of it is in the file."""

    def savefig(self, file, **_):
        file.write_bytes(PNG)
        raise OSError("no space left")


def test_a_file_that_could_not_be_finished_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        RunFolder.claim(tmp_path, "any", {"lr": math.inf})
    assert list(tmp_path.iterdir()) == []
    folder = RunFolder.claim(tmp_path, "any", {})
    with pytest.raises(RunError, match=r"curves\.png: no space left.*zerograd train --resume"):
        folder.write_curves(HalfDrawn())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "record.jsonl"]
