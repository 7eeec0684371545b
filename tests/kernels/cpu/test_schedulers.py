"""Every scheduler of torch drives every optimizer as it drives torch's, and no learning rate compiles anything."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler as schedulers
from torch.optim import swa_utils

import zerograd
from engine.common import FLAGS, OWN, SHARED
from kernels.cpu.conftest import Made
from kernels.cpu.running import give, model

SHAPES = ((4, 3), (5,), ())
STEPS = 12


def sequential(optimizer: Any) -> Any:
    parts = [schedulers.LinearLR(optimizer, 0.1, 1.0, 4), schedulers.CosineAnnealingLR(optimizer, 6)]
    return schedulers.SequentialLR(optimizer, parts, milestones=[4])


def chained(optimizer: Any) -> Any:
    return schedulers.ChainedScheduler(
        [schedulers.ConstantLR(optimizer, 0.3, 4), schedulers.ExponentialLR(optimizer, 0.9)], optimizer
    )


MAKERS: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: schedulers.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (1 + t)]),
    "MultiplicativeLR": lambda o: schedulers.MultiplicativeLR(o, lambda t: 1 - 0.05 * t),
    "StepLR": lambda o: schedulers.StepLR(o, 3, 0.5),
    "MultiStepLR": lambda o: schedulers.MultiStepLR(o, [2, 3, 7], 0.3),
    "ConstantLR": lambda o: schedulers.ConstantLR(o, 0.3, 4),
    "LinearLR": lambda o: schedulers.LinearLR(o, 0.1, 0.8, 6),
    "ExponentialLR": lambda o: schedulers.ExponentialLR(o, 0.8),
    "CosineAnnealingLR": lambda o: schedulers.CosineAnnealingLR(o, 7, 1e-4),
    "CosineAnnealingWarmRestarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 2, 2),
    "PolynomialLR": lambda o: schedulers.PolynomialLR(o, 8, 2.0),
    "CyclicLR": lambda o: schedulers.CyclicLR(o, 1e-3, 1e-1, 3, 2, mode="triangular2", cycle_momentum=False),
    "CyclicLR with momentum": lambda o: schedulers.CyclicLR(o, 1e-3, 1e-1, 3, 2, mode="exp_range", gamma=0.9),
    "OneCycleLR": lambda o: schedulers.OneCycleLR(o, 0.1, total_steps=STEPS, three_phase=True, cycle_momentum=False),
    "OneCycleLR with momentum": lambda o: schedulers.OneCycleLR(o, [0.1, 0.2], total_steps=STEPS),
    "ReduceLROnPlateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1, factor=0.5),
    "SequentialLR": sequential,
    "ChainedScheduler": chained,
    "SWALR": lambda o: swa_utils.SWALR(o, 0.05, anneal_epochs=4),
}
ONE_LR = {"LambdaLR", "OneCycleLR with momentum"}
"""Those that give each group a rate of its own; Prodigy's groups share one."""


def test_the_table_has_every_scheduler() -> None:
    bases = {schedulers.LRScheduler, schedulers._LRScheduler}
    classes = {
        name
        for name, cls in inspect.getmembers(schedulers, inspect.isclass)
        if issubclass(cls, schedulers.LRScheduler) and cls not in bases
    }
    assert classes | {"SWALR"} == {name.partition(" ")[0] for name in MAKERS}


class Driven:
    """An optimizer with two groups under a scheduler. refused: the words of the scheduler that does not take it."""

    def __init__(self, module: Any, name: str, scheduler: str, **more: Any) -> None:
        self.params = model(SHAPES, torch.float64)
        groups = [{"params": self.params[:1]}, {"params": self.params[1:], "weight_decay": 0.1}]
        if name == "Rprop":
            del groups[1]["weight_decay"]
        self.optimizer = getattr(module, name)(groups, lr=0.05, **FLAGS.get(name, {}), **more)
        self.refused = ""
        try:
            self.scheduler = MAKERS[scheduler](self.optimizer)
        except ValueError as error:
            self.refused = str(error)

    def step(self, number: int) -> None:
        give(self.params, number)
        self.optimizer.step()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The epoch parameter in `scheduler.step", UserWarning)  # SequentialLR's
            if isinstance(self.scheduler, schedulers.ReduceLROnPlateau):
                self.scheduler.step(1.0 + (number % 5))
            else:
                self.scheduler.step()

    def numbers(self) -> list[Any]:
        """What schedulers write into groups."""
        return [[group.get(key) for key in ("lr", "momentum", "betas")] for group in self.optimizer.param_groups]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("scheduler", MAKERS)
@pytest.mark.parametrize("name", SHARED)
def test_it_drives_as_in_torch_and_makes_nothing(name: str, scheduler: str, made: Made) -> None:
    theirs = Driven(torch.optim, name, scheduler, foreach=False)
    ours = Driven(zerograd, name, scheduler)
    assert ours.refused == theirs.refused
    for step in range(STEPS - 1 if not theirs.refused else 0):
        made.clear()
        theirs.step(step)
        ours.step(step)
        assert step < 2 or made == Made(), f"step {step + 1}"
        assert ours.numbers() == theirs.numbers()
        for p, q in zip(ours.params, theirs.params, strict=True):
            # float64 in another order of operations, over a dozen steps; RMSprop's centered difference cancels digits.
            torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("scheduler", MAKERS)
@pytest.mark.parametrize("name", OWN)
def test_it_drives_what_torch_does_not_have(name: str, scheduler: str, made: Made) -> None:
    if name == "Prodigy" and scheduler in ONE_LR:
        pytest.skip("Prodigy's groups share one learning rate, this scheduler gives each its own")
    like = Driven(torch.optim, "AdamW", scheduler)
    ours = Driven(zerograd, name, scheduler)
    assert ours.refused == ""
    for step in range(STEPS - 1):
        made.clear()
        like.step(step)
        ours.step(step)
        assert step < 2 or made == Made(), f"step {step + 1}"
        assert [group["lr"] for group in ours.optimizer.param_groups] == [
            group["lr"] for group in like.optimizer.param_groups
        ]


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", SHARED)
def test_a_learning_rate_that_is_a_tensor_is_driven_in_place(name: str, made: Made) -> None:
    """torch's schedulers fill it; the value of the last step must not be kept anywhere."""
    theirs = Driven(torch.optim, name, "CosineAnnealingLR", foreach=False)
    ours = Driven(zerograd, name, "CosineAnnealingLR")
    for run in (theirs, ours):
        for group in run.optimizer.param_groups:
            group["lr"] = torch.tensor(group["lr"])
    rates = [group["lr"] for group in ours.optimizer.param_groups]
    for step in range(6):
        made.clear()
        theirs.step(step)
        ours.step(step)
        assert step < 2 or made == Made(), f"step {step + 1}"
        for p, q in zip(ours.params, theirs.params, strict=True):
            # As above.
            torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11)
    assert all(group["lr"] is rate for group, rate in zip(ours.optimizer.param_groups, rates, strict=True))
