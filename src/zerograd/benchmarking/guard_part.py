"""The price of the guard: whole training steps of one network, guarded and not guarded, in turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import zerograd
from zerograd.benchmarking.copies import Way, in_copies
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.training_part import BATCHES, HYPERS, digits_mlp, images, training_step
from zerograd.lifecycle.patrols import EAGER, FIRST, FIRST_OF_PROGRAMS
from zerograd.lifecycle.sessions import Session

UNGUARDED = "not guarded"


def seedling() -> nn.Module:
    """As small as a network gets."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


Workload = tuple[Callable[[], nn.Module], Callable[..., Any], str]

WORKLOADS: dict[str, Workload] = {
    "digits MLP": (digits_mlp, zerograd.AdamW, "zerograd.AdamW"),
    "digits MLP with torch.optim.Adam": (digits_mlp, torch.optim.Adam, "torch.optim.Adam"),
    "one linear layer": (seedling, zerograd.AdamW, "zerograd.AdamW"),
}


def measure_guard(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it."""
    part = Part("guard", "a whole training step, guarded or not", "microseconds")
    part.note(
        "The column of zerograd is with the guard, as it is after its first cycles; the other one is without. By the "
        "command: as `zerograd guard` watches a program of one optimizer."
    )
    return part, _rows(plan)


def _rows(plan: Plan) -> Iterator[Row]:
    for workload, (network, make, name) in WORKLOADS.items():
        for ending, guarding in (("", _guarded), (", by the command", _by_the_command)):
            ways: dict[str, Way] = {UNGUARDED: _plain, OURS: guarding}
            details = {"optimizer": name, "hyperparameters": HYPERS}
            yield in_copies(f"{workload}{ending}", network, partial(make, **HYPERS), ways, many_images(), plan, details)


def many_images() -> list[tuple[Tensor, Tensor]]:
    """Images that take turns."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        return [images(8) for _ in range(BATCHES)]


def _plain(model: nn.Module, optimizer: Any, given: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    return training_step(model, optimizer, given), lambda: None


def _guarded(model: nn.Module, optimizer: Any, given: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    handle = zerograd.guard(optimizer, model)
    return _after_first(training_step(model, optimizer, given), FIRST + EAGER + BATCHES), handle.remove


def _by_the_command(model: nn.Module, optimizer: Any, given: Any) -> tuple[Callable[[], None], Callable[[], None]]:
    session = Session("keep")
    session.attach(optimizer)
    return _after_first(training_step(model, optimizer, given), FIRST_OF_PROGRAMS + EAGER + BATCHES), session.end


def _after_first(step: Callable[[], None], steps: int) -> Callable[[], None]:
    """A step after so many, which are watched closely."""
    for _ in range(steps):
        step()
    return step
