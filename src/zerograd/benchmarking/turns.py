"""Timing in turns: every round runs each contestant once, so noise of the machine meets all of them alike."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from zerograd.benchmarking.plans import Budget

TINY = 1_000_000
"""Models of fewer numbers than this run on one thread, as they would in practice."""


@dataclass(frozen=True)
class Timing:
    """How long a call took: the first decile and the median over the rounds."""

    p10: float
    median: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Timing:
        """The first decile and the median of what was measured; of a single value, that value."""
        if len(values) == 1:
            return cls(values[0], values[0])
        return cls(statistics.quantiles(values, n=10, method="inclusive")[0], statistics.median(values))


def nothing() -> None:
    """A contestant that needs no preparation."""


@dataclass(frozen=True)
class Turn:
    """What a contestant does in its turn. ``prepare`` comes first and is not timed."""

    call: Callable[[], object]
    prepare: Callable[[], object] = nothing


@dataclass(frozen=True)
class Outcome:
    """The timings of all contestants, in microseconds, over so many rounds."""

    timings: dict[str, Timing]
    rounds: int


def in_turns(contestants: Mapping[str, Turn], budget: Budget) -> Outcome:
    """Run each contestant once a round until the budget is used up; one that is slow warms up once only.

    The order is drawn anew in every round, so nobody always follows the same neighbour. Python's garbage collection is
    off while a contestant runs and happens between two rounds.
    """
    latest = time.perf_counter() + budget.at_most
    for turn in contestants.values():
        for n in range(budget.warm_up):
            if n == 0 or time.perf_counter() < latest:
                turn.prepare()
                turn.call()
    order, draw = list(contestants), random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    with _collecting_by_hand() as collect:
        end = time.perf_counter() + budget.seconds
        rounds = 0
        while rounds == 0 or ((rounds < budget.rounds or time.perf_counter() < end) and time.perf_counter() < latest):
            rounds += 1
            draw.shuffle(order)
            for name in order:
                turn = contestants[name]
                turn.prepare()
                begin = time.perf_counter()
                turn.call()
                taken[name].append((time.perf_counter() - begin) * 1e6)
            collect()
    return Outcome({name: Timing.of(values) for name, values in taken.items()}, rounds)


@contextmanager
def _collecting_by_hand(interval: float = 1.0) -> Iterator[Callable[[], None]]:
    """No garbage collection of its own accord; what is given collects, if the last time was a while ago."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    last = time.perf_counter()

    def collect() -> None:
        nonlocal last
        if time.perf_counter() - last > interval:
            gc.collect()
            last = time.perf_counter()

    try:
        yield collect
    finally:
        if was_on:
            gc.enable()


@contextmanager
def threads_for(numbers: int) -> Iterator[int]:
    """Let torch compute on one thread if the model is tiny, else on as many as it has. Gives how many."""
    before = torch.get_num_threads()
    count = 1 if numbers < TINY else before
    torch.set_num_threads(count)
    try:
        yield count
    finally:
        torch.set_num_threads(before)
