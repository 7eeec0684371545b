"""`zerograd train` from the outside: what it prints, what it keeps, what it refuses."""

import json
import math
import os
import sys
from pathlib import Path

import pytest

import training
from zerograd.cli.main import main
from zerograd.training import comparison

OPTIONS = [
    "optimizer",
    "lr",
    "weight-decay",
    "epochs",
    "batch-size",
    "seed",
    "out",
    "forget-zero-grad",
    "schedule",
    "warmup",
    "clip",
    "accumulate",
    "amp",
    "compile",
    "state-format",
    "weight-format",
    "valid",
    "metric",
    "patience",
    "nonfinite",
    "keep",
    "save-every",
    "resume",
    "no-guard",
    "threads",
    "quiet",
    "json",
]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_digits_is_the_default_and_runs_are_numbered(tmp_path, capsys):
    assert main(["train", "--epochs", "1"]) == 0
    assert main(["train", "digits", "--epochs", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["digits-adamw-1", "digits-adamw-2"]
    assert capsys.readouterr().out.count("Epoch 1, Loss: ") == 2


def test_every_option_reaches_the_run(tmp_path):
    argv = "train seed --optimizer adam --lr 0.5 --weight-decay=0.1 --epochs 3 --batch-size 2 --seed 9 --out here"
    assert main(argv.split()) == 0
    config = json.loads((tmp_path / "here" / "config.json").read_text())
    assert config["task"] == "seed"
    assert config["optimizer"] == "Adam"
    assert config["hyperparameters"]["lr"] == 0.5
    assert config["hyperparameters"]["weight_decay"] == 0.1
    assert (config["epochs"], config["batch_size"], config["seed"]) == (3, 2, 9)


def test_a_task_may_stand_behind_the_options(tmp_path):
    assert main(["train", "--batch-size", "all", "seed"]) == 0
    assert (tmp_path / "runs" / "seed-sgd-1" / "record.jsonl").exists()


def test_the_lesson(tmp_path, capsys):
    assert main(["train", "seed", "--forget-zero-grad"]) == 0
    assert "grad before" in capsys.readouterr().out
    assert main(["train", "--resume", "runs/seed-sgd-1"]) == 2
    assert "runs/seed-sgd-1 is a lesson" in capsys.readouterr().err
    assert (tmp_path / "runs" / "seed-sgd-1" / "curves.png").exists()


def test_a_run_that_diverges_ends_with_1_and_keeps_its_record(tmp_path, capsys):
    assert main(["train", "seed", "--lr", "1e30", "--epochs", "50", "--out", "lost"]) == 1
    assert "the loss is not finite any more" in capsys.readouterr().err
    assert (tmp_path / "lost" / "record.jsonl").read_text().count("\n") > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("digit", "There is no task 'digit'. Did you mean 'digits'?"),
        ("--lrr 0.1", "zerograd train has no option '--lrr'. Did you mean '--lr'?"),
        ("--epoch 3", "zerograd train has no option '--epoch'. Did you mean '--epochs'?"),
        ("--optimizer AdmW", "There is no optimizer 'AdmW'. Did you mean 'AdamW'?"),
        ("--optimizer LBFGS", "LBFGS can't be used here: its step needs a closure"),
        ("--lr", "--lr needs a value behind it."),
        ("--lr fast", "--lr: 'fast' is not a number."),
        ("--lr 0", "--lr must be a finite number above 0, not 0."),
        ("--lr -1", "--lr must be a finite number above 0, not -1."),
        ("--lr -1e-3", "--lr must be a finite number above 0, not -0.001."),
        ("--lr -inf", "--lr must be a finite number above 0, not -inf."),
        ("--lr nan", "--lr must be a finite number above 0, not nan."),
        ("--weight-decay=-1", "--weight-decay must be a finite number, 0 or above, not -1."),
        ("--epochs 1.5", "--epochs: '1.5' is not a whole number."),
        ("--epochs 0", "--epochs must be 1 or more, not 0"),
        ("--batch-size some", "--batch-size: 'some' is not a whole number, nor the word 'all'."),
        ("--batch-size 0", "--batch-size must be 1 or more, or the word 'all', not 0."),
        ("--batch-size 9999", "--batch-size 9999 is more than the 1347 training samples"),
        ("--seed -1", "--seed must be a whole number from 0"),
        ("--seed x", "--seed: 'x' is not a whole number."),
        ("digits seed", "There is nothing to do with 'seed'."),
        ("--schedule cosin", "--schedule knows no 'cosin'. Did you mean 'cosine'?"),
        ("--amp bf1", "--amp knows no 'bf1'. Did you mean 'bf16'?"),
        ("--nonfinite rise", "--nonfinite knows no 'rise'. Did you mean 'raise'?"),
        ("--metric test_los", "--metric knows no 'test_los'. Did you mean 'test_loss'?"),
        ("--metric test_loss:least", "--metric test_loss:least: after the colon stands min or max"),
        ("--metric valid_loss", "--metric knows no 'valid_loss'."),
        ("--valid 1", "--valid must be 0 or above and less than 1, not 1"),
        ("--valid 0.0001", "--valid 0.0001 of 1347 samples leaves one side with none."),
        ("--patience 0", "--patience must be 1 or more, not 0"),
        ("--clip 0", "--clip must be a finite number above 0, not 0."),
        ("--accumulate 0", "--accumulate must be 1 or more, not 0"),
        ("--keep -1", "--keep must be 0 or more, not -1"),
        ("--warmup 1000000", "--warmup 1000000 leaves nothing of the 550 steps."),
        ("--keep 99999999999 --out run", "The checkpoints need 13,"),
        ("--accumulate 1" + 30 * "0", "--accumulate must be at most 9223372036854775807"),
        ("--threads 100000", "--threads must be at most 1024, not 100000"),
        ("--metric=", "--metric knows no ''."),
        ("--out=", "--out: a name is missing: it is empty."),
        ("--resume=", "--resume: a name is missing: it is empty."),
        ("--optimizer RuleOptimize", "There is no optimizer 'RuleOptimize'. Valid names: Adadelta"),
        ("--threads 0", "--threads must be 1 or more, not 0"),
        ("--weight-format stochastc", "AdamW can't train this model"),
        ("--optimizer LBFGS --state-format int8", "LBFGS takes no state_format"),
        ("no_such.py:task", "There is no file 'no_such.py' to take a task from."),
        ("no_such.module:task", "There is no module 'no_such.module'"),
        ("json:task", "json has no 'task'."),
        ("json:loads", "json:loads can't be called without arguments"),
        ("--resume gone", "There is no folder gone."),
        ("--resume .", ". holds no run: there is no config.json."),
        ("--resume . --lr 1", "--resume goes on with a run as it was begun, so --lr can't be given."),
        ("seed --forget-zero-grad --json", "--forget-zero-grad is a lesson to read"),
        ("--out /proc/zerograd/run", "Can't write a run to /proc/zerograd/run: "),
        ("--out file", "Can't write a run to file: it is a file."),
        ("--forget-zero-grad", "--forget-zero-grad is a lesson about the task 'seed'"),
    ],
)
def test_wrong_values_are_told_in_one_line_before_anything_starts(tmp_path, capsys, options, words):
    (tmp_path / "file").touch()
    assert main(["train", *options.split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"zerograd: {words}")
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_run_is_never_overwritten(tmp_path, capsys):
    assert main(["train", "seed", "--out", "mine"]) == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "mine").rglob("*.*")}
    assert main(["train", "seed", "--out", "mine"]) == 2
    assert "mine holds a run already" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (tmp_path / "mine").rglob("*.*")} == before


def test_help_tells_every_option(capsys):
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f" --{option} " in shown for option in OPTIONS)


def test_a_reader_that_goes_away_does_not_end_the_training(tmp_path, monkeypatch, capsys):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["train", "seed", "--out", "run"]) == 0
    assert capsys.readouterr().err == (
        "zerograd: Can't write the output any more: Broken pipe. The training goes on, and its folder has all of it.\n"
    )
    assert told(tmp_path, "run/record.jsonl").count("\n") == 5
    assert (tmp_path / "run" / "model.safetensors").exists()


def told(tmp_path, name):
    return (tmp_path / name).read_text()


def test_json_is_one_object_and_nothing_else(capsys):
    assert main(["train", "seed", "--json", "--patience", "3", "--keep", "1"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    result = json.loads(told.out)
    assert told.out.count("\n") == 1
    assert (result["task"], result["optimizer"], result["run"]) == ("seed", "SGD", "runs/seed-sgd-1")
    assert (result["stopped"], result["epochs"], result["steps"], result["best_epoch"]) == ("finished", 5, 5, 5)
    assert result["last"]["train_loss"] == result["best_value"]


def test_json_of_a_run_that_failed(capsys):
    assert main(["train", "seed", "--json", "--lr", "1e30", "--epochs", "50"]) == 1
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert result["stopped"] == "failed"
    assert result["error"] in told.err


def test_quiet_says_nothing(capsys):
    assert main(["train", "seed", "-q"]) == 0
    told = capsys.readouterr()
    assert told.out == told.err == ""


def test_early_stopping_ends_the_run_and_says_so(tmp_path, capsys):
    assert (
        main(
            [
                "train",
                "seed",
                "--lr",
                "3",
                "--epochs",
                "90",
                "--patience",
                "4",
                "--metric",
                "train_loss",
                "--out",
                "here",
                "--nonfinite",
                "skip",
            ]
        )
        == 0
    )
    assert "Stopped early: 4 epochs without a better train_loss" in capsys.readouterr().out
    lines = [json.loads(line) for line in told(tmp_path, "here/record.jsonl").splitlines()]
    losses = [math.inf if line["train_loss"] is None else line["train_loss"] for line in lines]
    assert len(losses) - 1 - losses.index(min(losses)) == 4
    assert main(["train", "--resume", "here"]) == 0
    assert told(tmp_path, "here/record.jsonl").count("\n") == len(lines), "a run that has ended does not go on"


def test_a_task_of_the_users_own(tmp_path, monkeypatch):
    source = Path(training.__path__[0], "own_task.py").read_text()
    (tmp_path / "mine.py").write_text(f"{source}\n\nTASK = spirals()\n")
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "inner.py").write_text(source)
    for name in ("mine.py", "mine.py:spirals", "./mine.py:TASK", "pack.inner:spirals"):
        assert main(["train", name, "--epochs", "1"]) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [f"spirals-adamw-{n}" for n in (1, 2, 3, 4)]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "--resume", "../runs/spirals-adamw-1"]) == 0  # a file is known by its whole path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "bad.py has neither TASK nor task. Name one: bad.py:NAME"),
        ("TASK = 3", "bad.py gives int; it must be a zerograd.training.Task"),
    ],
)
def test_what_is_no_task_is_refused(tmp_path, capsys, text, words):
    (tmp_path / "bad.py").write_text(text)
    assert main(["train", "bad.py"]) == 2
    assert words in capsys.readouterr().err


def test_compile_needs_a_compiler_and_says_so(monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert main(["train", "seed", "--compile"]) == 2
    assert "--compile needs a C++ compiler, and there is no no-such-compiler" in capsys.readouterr().err


def test_plot_lays_runs_over_each_other(tmp_path, capsys):
    for seed in "12":
        assert main(["train", "seed", "-q", "--seed", seed, "--out", f"run{seed}"]) == 0
    assert main(["plot", "run1", "run2", "--json", "--metric", "train_loss", "grad_norm", "--out", "both.svg"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "out": "both.svg", "runs": ["run1", "run2"], "metric": ["train_loss", "grad_norm"],
    }  # fmt: skip
    assert "run2" in told(tmp_path, "both.svg") or "<svg" in told(tmp_path, "both.svg")
    assert main(["plot", "run1"]) == 0
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("gone", "There is no folder gone."),
        ("run --metric train_los", "No run has the number 'train_los'. Did you mean 'train_loss'?"),
        ("run --out a.pgn", "Did you mean '.png'?"),
        ("run --out gone/a.png", "there is no folder 'gone'"),
        ("empty", "empty has no epoch yet"),
    ],
)
def test_plot_refuses_what_it_cannot_draw(tmp_path, capsys, words, said):
    for name, record in (("run", '{"epoch": 1, "train_loss": 2.0}\n{"epoch": 2, "trai'), ("empty", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "record.jsonl").write_text(record)
    assert main(["plot", *words.split()]) == 2
    assert said in capsys.readouterr().err


def test_plot_without_matplotlib_tells_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(comparison, "find_spec", lambda _: None)
    assert main(["plot", "run"]) == 2
    assert "zerograd plot needs matplotlib: pip install 'zerograd[train]'" in capsys.readouterr().err
