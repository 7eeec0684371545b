"""Accelerate: prepared, accumulated, clipped, scaled and saved runs are the same as torch's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState
from torch.utils.data import DataLoader

import zerograd as optim
from tests_ecosystem.common import BOTH, FEW, OPTIMIZERS, assert_same_run, network, optimizer, samples, torchs, weights
from zerograd.lifecycle.light import Light

HALF = 4
"""Steps before a run is saved and taken up again."""


@pytest.fixture(autouse=True)
def clean_slate() -> Iterator[None]:
    """Accelerate keeps its state in the process."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


class Run:
    """A prepared model with optimizer and schedule; ``go`` trains it for a number of batches."""

    def __init__(self, home: Any, name: str, *, every: int = 1, scaled: bool = False, dtype: torch.dtype) -> None:
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_steps=every)
        self.scaled = scaled
        if scaled:  # Accelerate makes one for accelerators only, and goes on with any that is there
            self.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=4)
        model = network().to(dtype)
        made = optimizer(home, name, model.parameters())
        schedule = torch.optim.lr_scheduler.StepLR(made, 3, gamma=0.5)
        loader = DataLoader(samples(dtype), batch_size=8)
        self.model, self.optimizer, self.schedule, self.loader = self.accelerator.prepare(model, made, schedule, loader)
        self.losses: list[float] = []
        self.skipped: list[bool] = []

    def go(self, batches: int, clip: str | None = None, overflow_at: int = -1) -> Run:
        done = 0
        while done < batches:
            for inputs, targets in self.loader:
                with self.accelerator.accumulate(self.model):
                    loss = torch.nn.functional.mse_loss(self.model(inputs), targets)
                    self.losses.append(loss.item())
                    self.accelerator.backward(loss * float("inf") if done == overflow_at else loss)
                    if self.accelerator.sync_gradients and clip:
                        if self.scaled:
                            self.accelerator.scaler.unscale_(self.optimizer.optimizer)
                        clipped = {"norm": self.accelerator.clip_grad_norm_, "value": self.accelerator.clip_grad_value_}
                        clipped[clip](self.model.parameters(), 0.1)
                    self.optimizer.step()
                    self.skipped.append(self.optimizer.step_was_skipped)
                    self.schedule.step()
                    self.optimizer.zero_grad()
                done += 1
                if done == batches:
                    break
        return self

    @property
    def outcome(self) -> list[Any]:
        rate = torch.tensor(float(self.optimizer.param_groups[0]["lr"]))
        return [torch.tensor(self.losses, dtype=torch.float64), rate, *weights(self.model)]


def runs(name: str, clip: str | None = None, batches: int = 12, overflow_at: int = -1, **options: Any) -> list[Run]:
    made = []
    for home in BOTH:
        made.append(Run(home, name, **options).go(batches, clip, overflow_at))
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
    return made


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("clip", [None, "norm", "value"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_prepared_run(name: str, clip: str | None, every: int) -> None:
    mine, theirs = runs(name, clip, every=every, dtype=torch.float64)
    assert_same_run(mine.outcome, theirs.outcome)
    assert isinstance(mine.optimizer.optimizer, getattr(optim, name))


@pytest.mark.parametrize("clip", [None, "norm"])
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_run_with_a_scaler(name: str, every: int, clip: str | None) -> None:
    mine, theirs = runs(name, clip, every=every, scaled=True, dtype=torch.float32)
    assert_same_run(mine.outcome, theirs.outcome, torch.float32)
    assert mine.accelerator.scaler.get_scale() > 1024.0


@pytest.mark.parametrize("name", FEW)
def test_accelerate_hears_of_a_step_that_a_scaler_left_out(name: str) -> None:
    """It knows by whether ``step`` was called, and holds the schedule back then.

    So an optimizer that says to everybody that it unscales, and whose step is always called, fails here.
    """
    mine, theirs = runs(name, scaled=True, overflow_at=5, dtype=torch.float32)
    assert mine.skipped == theirs.skipped == [i == 5 for i in range(12)]
    assert_same_run(mine.outcome, theirs.outcome, torch.float32)


@pytest.mark.parametrize("name", FEW)
def test_a_scaler_of_ones_own_leaves_the_unscaling_to_the_step_until_accelerate_counts_calls(name: str) -> None:
    run = Run(optim, name, scaled=True, dtype=torch.float32)
    inner, model = run.optimizer.optimizer, run.accelerator.unwrap_model(run.model)
    scaler, seen = torch.amp.GradScaler("cpu", init_scale=1024.0), []
    inner.register_step_pre_hook(Light(lambda *_: seen.append(hasattr(inner, "grad_scale"))))
    scaler.scale(model(torch.ones(2, 5)).sum()).backward()
    scaler.step(inner)
    run.optimizer.zero_grad()
    run.go(1)
    assert seen == [True, False]


@pytest.mark.parametrize("scaled", [False, True], ids=["", "with a scaler"])
@pytest.mark.parametrize("saved_by", BOTH, ids=["saved by zerograd", "saved by torch"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_saved_state_is_taken_up_again(name: str, saved_by: Any, scaled: bool, tmp_path: Path) -> None:
    dtype = torch.float32 if scaled else torch.float64
    options: dict[str, Any] = {"scaled": scaled, "dtype": dtype}
    whole = Run(torchs, name, **options).go(2 * HALF, "norm" if not scaled else None).outcome
    clip = None if scaled else "norm"
    Run(saved_by, name, **options).go(HALF, clip).accelerator.save_state(str(tmp_path / "state"))
    resumed = Run(optim, name, **options)
    resumed.accelerator.load_state(str(tmp_path / "state"))
    resumed.go(HALF, clip)
    assert_same_run(resumed.outcome[1:], whole[1:], dtype)
    assert_same_run(resumed.outcome[0], whole[0][HALF:], dtype)


def test_evaluation_weights_are_reached_through_the_wrapper() -> None:
    accelerator = Accelerator(cpu=True)
    model = network()
    model, made = accelerator.prepare(model, optim.ScheduleFreeAdamW(model.parameters(), lr=0.1))
    for inputs, targets in DataLoader(samples(torch.float32), batch_size=8):
        accelerator.backward(torch.nn.functional.mse_loss(model(inputs), targets))
        made.step()
        made.zero_grad()
    training = weights(model)
    made.eval()
    assert not all(torch.equal(a, b) for a, b in zip(weights(model), training, strict=True))
    made.train()
    assert all(torch.equal(a, b) for a, b in zip(weights(model), training, strict=True))
