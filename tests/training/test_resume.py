"""A run that was stopped and resumed is the run that was never stopped, bit for bit."""

import itertools
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import zerograd
from training.runs import read_record
from zerograd.training import Interrupted, fit, read_checkpoint
from zerograd.training.random_state import own_randomness

TIMES = ("seconds", "samples_per_second")
INPUTS = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS[:, :3].argmax(dim=1)


def numbers(lines):
    """The lines without the times that they took."""
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


class Noisy(nn.Module):
    """A model that draws from all generators, with buffers; it can be told to stop the program."""

    def __init__(self):
        super().__init__()
        hidden = nn.Linear(64, 64)  # large enough for states in eight bits
        self.layers = nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Dropout(0.3), hidden, nn.Linear(64, 3))
        self.stop_at = None
        self.passes = 0

    def forward(self, inputs):
        if self.training:
            self.passes += 1
            if self.passes == self.stop_at:
                signal.raise_signal(signal.SIGTERM if self.stop_at % 2 else signal.SIGINT)
            inputs = inputs + 0.1 * float(np.random.standard_normal()) + 0.1 * random.random()
        return self.layers(inputs.to(self.layers[0].weight.dtype)).float()


def tensors():
    return INPUTS, TARGETS


def loader(**options):
    return DataLoader(TensorDataset(INPUTS, TARGETS), batch_size=4, **options)


CASES = {
    "samples in an order of their own": (
        zerograd.AdamW, tensors, {"batch_size": 4, "metric": "train_loss:max"}  # the first epoch is the best
    ),
    "windows, half the precision, clipping": (
        torch.optim.Adam, tensors,
        {"batch_size": 4, "accumulate": 3, "amp": "bf16", "clip": 0.5, "schedule": "onecycle"},
    ),
    "a scaler": (zerograd.SGD, tensors, {"batch_size": 4, "amp": "fp16", "schedule": "cosine", "warmup": 3}),
    "an average of the weights": (zerograd.ScheduleFreeAdamW, tensors, {"batch_size": 4, "test": (INPUTS, TARGETS)}),
    "a loader with torch's random numbers": (zerograd.Lion, lambda: loader(shuffle=True), {"save_every": 2}),
    "a loader with a generator of its own": (
        zerograd.Prodigy, lambda: loader(shuffle=True, generator=torch.Generator().manual_seed(3)), {"patience": 2}
    ),
}  # fmt: skip


FORMATS = {
    "weights rounded with noise": {"weight_format": "stochastic"},
    "states in eight bits": {"state_format": "int8"},
    "states in sixteen bits": {"state_format": "bf16"},
}
TABLE = [(*case, {}) for case in CASES.values()]
TABLE += [(zerograd.AdamW, tensors, {"batch_size": 4}, formats) for formats in FORMATS.values()]


@pytest.mark.parametrize(("kind", "data", "options", "formats"), TABLE, ids=[*CASES, *FORMATS])
def test_stopped_at_any_step_it_goes_on_bit_for_bit(kind, data, options, formats, tmp_path):
    def run(out, *, stop_at=None, resume=False):
        with own_randomness(0):
            model = Noisy().to(torch.bfloat16 if "weight_format" in formats else torch.float32)
            optimizer = kind(model.parameters(), lr=0.02, **formats)
            model.stop_at = stop_at
            result = fit(
                model, optimizer, nn.CrossEntropyLoss(), data(), epochs=3, seed=5, out=out, resume=resume, **options
            )
        return result, model.state_dict(), optimizer.state_dict()

    whole, weights, state = run(None)
    if "state_format" in formats:
        kept = torch.uint8 if formats["state_format"] == "int8" else torch.bfloat16
        assert any(value.dtype == kept for values in state["state"].values() for value in values.values())
    for stop_at in (2, 8, 9, 15):  # in the first epoch, at its end, at the next one's start, in its middle
        out = tmp_path / str(stop_at)
        with pytest.raises(
            Interrupted, match=r"all is saved\. Go on with: call fit\(\) again, with out=.* and resume=True"
        ):
            run(out, stop_at=stop_at)
        resumed, others, other_state = run(out, resume=True)
        assert numbers(resumed.lines) == numbers(whole.lines)
        assert numbers(read_record(out)) == numbers(whole.lines)
        assert (resumed.steps, resumed.best_epoch) == (whole.steps, whole.best_epoch)
        assert all(torch.equal(weights[name], others[name]) for name in weights)
        for index, values in state["state"].items():
            for name, value in values.items():
                assert torch.equal(torch.as_tensor(value), torch.as_tensor(other_state["state"][index][name])), name


KILLS = int(os.environ.get("ZEROGRAD_KILLS", "5"))


@pytest.mark.parametrize("more", [("--save-every", "3", "--keep", "2"), ()], ids=["within epochs", "once a second"])
def test_killed_at_any_moment_a_run_can_be_loaded_and_ends_as_if_nothing_had_been(server, tmp_path, more):
    task = f"{Path(__file__).with_name('own_task.py')}:spirals"
    options = ("--epochs", "12", "--accumulate", "2", "--valid", "0.2", *more)
    assert server.run("train", task, *options, "--out", "whole") == 0, server.said()
    begin = time.perf_counter()
    assert server.run("train", task, *options, "--out", "again") == 0, server.said()
    seconds = time.perf_counter() - begin
    whole = numbers(read_record(tmp_path / "whole"))
    assert numbers(read_record(tmp_path / "again")) == whole
    dice = random.Random(time.time_ns())
    kills = 0
    for attempt in itertools.count():
        run = tmp_path / f"run{attempt}"
        code = -9
        while code == -9:
            begun = (run / "config.json").exists()
            command = ("train", "--resume", str(run)) if begun else ("train", task, *options, "--out", str(run))
            code = server.run(*command, kill_after=dice.uniform(0, 0.7 * seconds) if kills < KILLS else None)
            kills += code == -9
            if (run / "checkpoints" / "last.pt").exists():
                assert read_checkpoint(run / "checkpoints" / "last.pt")["version"] == 1
        assert code == 0, server.said()
        assert numbers(read_record(run)) == whole
        for name in ("model.safetensors", "checkpoints/best.pt"):
            ours, others = (tmp_path / folder / name for folder in (run.name, "whole"))
            if name.endswith("pt"):
                assert read_checkpoint(ours)["best"] == read_checkpoint(others)["best"]
            else:
                assert ours.read_bytes() == others.read_bytes()
        assert sorted(f.name for f in run.rglob("*")) == sorted(f.name for f in (tmp_path / "whole").rglob("*"))
        if kills >= KILLS:
            return
