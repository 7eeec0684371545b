"""Learning-rate schedules by name, made of torch's: one step of theirs for each step of the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    SequentialLR,
    StepLR,
)

from zerograd.errors import UsageError, did_you_mean
from zerograd.training.settings import SCHEDULES

Make = Callable[[Optimizer, int], LRScheduler]

START = 0.01
"""The part of the learning rate that a warm-up begins with."""


def scheduler(name: str, optimizer: Optimizer, steps: int, warmup: int = 0) -> LRScheduler:
    """The schedule called ``name`` over ``steps`` steps of the optimizer, the first ``warmup`` of them a linear rise.

    constant; cosine: down to 0 along half a cosine; linear: down to 0 along a line; onecycle: up and down again
    (Smith and Topin 2017); step: a tenth after each third. Raises UsageError for another name, for a warm-up that
    leaves nothing, and before onecycle, which has its own.
    """
    if name not in _MAKERS:
        raise UsageError(f"There is no schedule {name!r}. {did_you_mean(name, SCHEDULES)}")
    if warmup and name == "onecycle":
        raise UsageError("The schedule onecycle has a warm-up of its own: leave --warmup out.")
    if warmup and warmup >= steps:
        raise UsageError(f"--warmup {warmup} leaves nothing of the {steps} steps. Choose a smaller number.")
    if not warmup:
        return _MAKERS[name](optimizer, steps)
    rise = LinearLR(optimizer, START, total_iters=warmup)
    return SequentialLR(optimizer, [rise, _MAKERS[name](optimizer, steps - warmup)], milestones=[warmup])


def _onecycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    first: dict[str, Any] = optimizer.param_groups[0]
    moves = "betas" in first or bool(first.get("momentum"))
    return OneCycleLR(optimizer, max_lr=float(first["lr"]), total_steps=steps + 1, cycle_momentum=moves)


_MAKERS: dict[str, Make] = {
    "constant": lambda optimizer, _: ConstantLR(optimizer, factor=1.0),
    "cosine": lambda optimizer, steps: CosineAnnealingLR(optimizer, T_max=steps),
    "linear": lambda optimizer, steps: LinearLR(optimizer, 1.0, 0.0, total_iters=steps),
    "onecycle": _onecycle,
    "step": lambda optimizer, steps: StepLR(optimizer, step_size=max(1, -(-steps // 3)), gamma=0.1),
}
