"""The price of exact accumulation: windows of micro-batches by ``accumulate`` and by hand, in turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from torch import nn
from torch.nn.functional import cross_entropy

import zerograd
from zerograd.benchmarking.copies import Batches, Way, in_copies
from zerograd.benchmarking.guard_part import WORKLOADS, many_images
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.training_part import HYPERS

BY_HAND = "by hand"
EVERY = 4


def measure_windows(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it."""
    part = Part("windows", f"{EVERY} micro-batches and a step", "microseconds")
    part.note(
        f"The column of zerograd is a window of zerograd.accumulate; by hand each loss is divided by {EVERY}, which is "
        "right only where all micro-batches have as many samples."
    )
    return part, _rows(plan)


def _rows(plan: Plan) -> Iterator[Row]:
    ways: dict[str, Way] = {BY_HAND: _by_hand, OURS: _accumulated}
    for workload, (network, make, name) in WORKLOADS.items():
        details = {"optimizer": name, "hyperparameters": HYPERS, "every": EVERY}
        yield in_copies(workload, network, partial(make, **HYPERS), ways, many_images(), plan, details)


def _by_hand(model: nn.Module, optimizer: Any, given: Batches) -> tuple[Callable[[], None], Callable[[], None]]:
    stream = itertools.cycle(given)

    def train() -> None:
        optimizer.zero_grad()
        for inputs, targets in itertools.islice(stream, EVERY):
            (cross_entropy(model(inputs), targets) / EVERY).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return train, lambda: None


def _accumulated(model: nn.Module, optimizer: Any, given: Batches) -> tuple[Callable[[], None], Callable[[], None]]:
    windows = zerograd.accumulate(itertools.cycle(given), optimizer, every=EVERY)

    def train() -> None:
        window = next(windows)
        optimizer.zero_grad()
        for inputs, targets in window:
            window.backward(cross_entropy(model(inputs), targets), n=len(inputs))
        optimizer.step()

    return train, lambda: None
