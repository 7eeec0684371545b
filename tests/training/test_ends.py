"""However a run ends, its files are whole, it says how to go on, and its exit code tells what it was."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from training.runs import read_record
from zerograd.training import fit, read_checkpoint
from zerograd.training.checkpoints import Checkpoints

TASK = f"{Path(__file__).with_name('own_task.py')}:spirals"


def wait_for(path, lines=1):
    """Until a record has so many lines."""
    end = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < end, f"{path} did not grow"
        time.sleep(0.005)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_ctrl_c_and_sigterm_save_and_tell_how_to_go_on(server, tmp_path, number, code):
    process = server.start("train", TASK, "--epochs", "100000", "--json", "--out", "run")
    wait_for(tmp_path / "run" / "record.jsonl", 2)
    os.kill(process, number)
    assert server.end() == code
    state = read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert f"zerograd: Stopped after step {state['progress']['step']}, in epoch" in server.said()
    assert server.said().endswith("Go on with: zerograd train --resume run\n")
    result = json.loads((tmp_path / "out").read_text())
    assert (result["stopped"], result["run"]) == ("interrupted", "run")
    assert len(read_record(tmp_path / "run")) == state["progress"]["epoch"] - 1


def test_epochs_shorter_than_a_second_share_a_checkpoint_and_whatever_ends_the_run_none_is_lost(tmp_path, monkeypatch):
    written = []
    write = Checkpoints._write
    monkeypatch.setattr(Checkpoints, "_write", lambda self: (self._last and written.append(self._last[1]), write(self)))
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def stop(line):
        if line["epoch"] == 9:
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fit(model, optimizer, nn.MSELoss(), (torch.ones(4, 2), torch.ones(4, 1)), epochs=20, out=tmp_path / "run",
            batch_size="all", on_epoch=stop)  # fmt: skip
    last, best = (read_checkpoint(tmp_path / "run" / "checkpoints" / name) for name in ("last.pt", "best.pt"))
    assert len(written) < 9
    assert last["progress"]["step"] == 9
    assert best["best"]["epoch"] == last["best"]["epoch"]
    assert best["progress"]["step"] == best["best"]["epoch"]


def test_a_second_ctrl_c_leaves_at_once(server, tmp_path):
    """In the middle of a step that would take very long."""
    source = Path(__file__).with_name("own_task.py").read_text()
    slow = source.replace("def spirals", "import time\n\nclass Slow(nn.Sequential):\n"
        "    def forward(self, x):\n        time.sleep(0.0 if len(x) < 3 else 100)\n        return super().forward(x)\n"
        "\n\ndef spirals").replace("return nn.Sequential", "return Slow")  # fmt: skip
    (tmp_path / "slow.py").write_text(slow)
    process = server.start("train", "slow.py:spirals", "--out", "run")
    while not (tmp_path / "run" / "checkpoints" / "last.pt").exists():
        time.sleep(0.01)
    time.sleep(0.1)
    os.kill(process, signal.SIGINT)
    while "Stopping after this step" not in server.said():
        time.sleep(0.01)
    os.kill(process, signal.SIGINT)
    assert server.end() == 130
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["progress"]["step"] == 0


def test_a_disk_that_is_full_before_the_start_is_an_error_before_it(server, tmp_path):
    assert server.run("train", TASK, "--out", "run", FILE_SIZE="3000") == 1
    assert "Can't write a checkpoint to run/checkpoints: File too large." in server.said()
    assert (tmp_path / "run" / "record.jsonl").read_text() == ""
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []
    assert server.run("train", "--resume", "run", "--quiet") == 0, server.said()


def test_a_disk_that_becomes_full_is_a_clear_error_and_no_file_is_torn(server, tmp_path):
    """The record grows until it meets the limit, which checkpoints of this size don't."""
    assert server.run("train", TASK, "--epochs", "300", "--keep", "1", "--out", "run", FILE_SIZE="30000") == 1
    assert "Can't write run/record.jsonl: File too large." in server.said()
    assert "zerograd train --resume run" in server.said()
    done = len(read_record(tmp_path / "run"))
    assert 10 < done < 300
    assert read_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")["progress"]["epoch"] == done + 1


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(server, tmp_path):
    """The first one has no state of the optimizer in it yet, and is smaller."""
    assert server.run("train", TASK, "--epochs", "1", "--quiet", "--out", "whole") == 0
    size = (tmp_path / "whole" / "checkpoints" / "last.pt").stat().st_size
    assert server.run("train", TASK, "--epochs", "1", "--out", "run", FILE_SIZE=str(size - 500)) == 1
    assert "Can't write a checkpoint to run/checkpoints: File too large." in server.said()
    (last,) = (tmp_path / "run" / "checkpoints").iterdir()
    assert read_checkpoint(last)["progress"]["step"] == 0
    assert server.run("train", "--resume", "run") == 0, server.said()
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("whole", "run")]
    assert weights[0] == weights[1]


@pytest.fixture
def small(tmp_path):
    """A file system of 24 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own can't be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_room_is_seen_before_the_start(server, small):
    assert server.run("train", TASK, "--out", "small/run") == 2
    assert "The checkpoints need" in server.said()
    assert "Make room, keep fewer with --keep, or name another folder with --out." in server.said()
    assert not (small / "run").exists()


def test_a_folder_that_cannot_be_written_is_an_error_before_the_start(server, tmp_path):
    """Root may write everywhere, so it gives that up."""
    if os.geteuid() == 0 and sys.platform != "linux":
        pytest.skip("root may write everywhere, and gives that up on Linux only")
    (tmp_path / "closed").mkdir(mode=0o555)
    for out in ("closed/run", "closed"):
        assert server.run("train", TASK, "--out", out, ORDINARY="1") == 2
        assert f"Can't write a run to {out}: Permission denied. Name another folder with --out." in server.said()
    assert server.run("train", TASK, "--epochs", "2", "--quiet", "--out", "run") == 0
    (tmp_path / "run" / "checkpoints" / "last.pt").unlink()  # as if nothing had been trained yet
    (tmp_path / "run").chmod(0o555)
    record = (tmp_path / "run" / "record.jsonl").read_text()
    assert server.run("train", "--resume", "run", ORDINARY="1") == 1
    assert "Can't write run/record.jsonl: Permission denied." in server.said()
    assert (tmp_path / "run" / "record.jsonl").read_text() == record
    (tmp_path / "run").chmod(0o755)


def test_what_a_kill_before_the_first_file_leaves_is_no_run_and_what_is_not_ours_stays(server, tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    left = [run / ".config.json.123.456", run / "checkpoints" / ".last.pt.77"]
    others = [run / ".notes.1", run / "notes.txt"]
    for file in (*left, *others):
        file.write_text("half")
    assert server.run("train", "--resume", "run") == 2
    assert "run holds no run: there is no config.json. Begin one with --out run" in server.said()
    assert server.run("train", TASK, "--epochs", "1", "--out", "run") == 0, server.said()
    assert not any(file.exists() for file in left)
    assert all(file.read_text() == "half" for file in others)


def test_a_run_is_trained_by_one_process_at_a_time(server, tmp_path):
    assert server.run("train", TASK, "--quiet", "--out", "run") == 0
    fcntl = pytest.importorskip("fcntl", reason="locks are POSIX's")
    with open(tmp_path / "run" / "config.json") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert server.run("train", "--resume", "run") == 2
    assert "run is being trained by another process." in server.said()


def test_a_torn_last_line_is_cut_and_a_temporary_file_swept(server, tmp_path):
    assert server.run("train", TASK, "--epochs", "3", "--quiet", "--out", "run") == 0
    record = tmp_path / "run" / "record.jsonl"
    whole = record.read_text()
    record.write_text(whole + '{"epoch": 4, "train_lo')
    (tmp_path / "run" / "checkpoints" / ".last.pt.12345").write_text("half")
    assert server.run("train", "--resume", "run") == 0, server.said()
    assert record.read_text() == whole
    assert sorted(f.name for f in (tmp_path / "run" / "checkpoints").iterdir()) == ["best.pt", "last.pt"]


def test_checkpoints_are_kept_as_asked_and_the_best_is_the_best(server, tmp_path):
    options = ("--epochs", "6", "--keep", "2", "--metric", "test_accuracy", "--lr", "0.1")
    assert server.run("train", TASK, *options, "--out", "run") == 0
    lines = read_record(tmp_path / "run")
    folder = tmp_path / "run" / "checkpoints"
    assert sorted(f.name for f in folder.iterdir()) == ["best.pt", "last.pt", "step-00000025.pt", "step-00000030.pt"]
    best = read_checkpoint(folder / "best.pt")
    accuracies = [line["test_accuracy"] for line in lines]
    assert best["best"]["epoch"] == accuracies.index(max(accuracies)) + 1
    assert best["progress"]["epoch"] == best["best"]["epoch"] + 1
    last, kept = read_checkpoint(folder / "last.pt"), read_checkpoint(folder / "step-00000030.pt")
    assert all(torch.equal(last["model"][name], kept["model"][name]) for name in last["model"])
