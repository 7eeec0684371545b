"""`zerograd train` from the outside: what it prints, what it keeps, what it refuses."""

import json
import os
import signal
import subprocess
import sys

import pytest

from zerograd.cli.main import main

PROGRAM = "import sys; from zerograd.cli.main import main; sys.exit(main())"
OPTIONS = ("optimizer", "lr", "weight-decay", "epochs", "batch-size", "seed", "out", "forget-zero-grad")


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
        ("--lr", "Argument --lr: expected one argument."),
        ("--lr fast", "Argument --lr: 'fast' is not a number."),
        ("--lr 0", "--lr must be a finite number above 0, not 0."),
        ("--lr -1", "--lr must be a finite number above 0, not -1."),
        ("--lr nan", "--lr must be a finite number above 0, not nan."),
        ("--weight-decay=-1", "--weight-decay must be a finite number, 0 or above, not -1."),
        ("--epochs 1.5", "Argument --epochs: '1.5' is not a whole number."),
        ("--epochs 0", "--epochs must be 1 or more, not 0"),
        ("--batch-size some", "Argument --batch-size: 'some' is not a whole number, nor the word 'all'."),
        ("--batch-size 0", "--batch-size must be 1 or more, or the word 'all', not 0."),
        ("--batch-size 9999", "--batch-size 9999 is more than the 1347 training samples"),
        ("--seed -1", "--seed must be a whole number from 0"),
        ("--seed x", "Argument --seed: 'x' is not a whole number."),
        ("digits seed", "Unrecognized arguments: seed."),
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
    before = {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()}
    assert main(["train", "seed", "--out", "mine"]) == 2
    assert "mine holds a run already" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in (tmp_path / "mine").iterdir()} == before


def test_help_tells_every_option(capsys):
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  --{option}" in shown for option in OPTIONS)


def test_ctrl_c_keeps_the_record_so_far(tmp_path):
    argv = [sys.executable, "-c", PROGRAM, "train", "seed", "--epochs", "1000000", "--out", "stopped"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline().startswith("Epoch 1,")
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=30)
    assert program.returncode == 130
    assert told == "\nzerograd: stopped. What was written so far is kept.\n"
    assert sorted(file.name for file in (tmp_path / "stopped").iterdir()) == ["config.json", "record.jsonl"]
    for line in (tmp_path / "stopped" / "record.jsonl").read_text().splitlines():
        assert json.loads(line)["epoch"] > 0


def test_a_reader_that_goes_away_ends_the_program_without_a_traceback():
    reading, writing = os.pipe()
    os.close(reading)
    argv = [sys.executable, "-c", PROGRAM, "train", "seed"]
    with open(writing, "w") as closed:
        done = subprocess.run(argv, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode not in (0, 2)
    assert "Traceback" not in done.stderr
