"""Timing in turns: every round runs each contestant once, so noise of the machine meets all of them alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MINIMUM = 20
"""Rounds that a first decile needs to mean anything."""


@dataclass(frozen=True)
class Timing:
    """Microseconds a call: the first decile and the median over the rounds."""

    p10: float
    median: float


def in_turns(contestants: Mapping[str, Callable[[], object]], *, seconds: float, warm_up: int = 5) -> dict[str, Timing]:
    """Call each contestant again and again, one after the other, for about ``seconds`` in all."""
    for call in contestants.values():
        for _ in range(warm_up):
            call()
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    end = time.perf_counter() + seconds
    rounds = 0
    while rounds < MINIMUM or time.perf_counter() < end:
        rounds += 1
        for name, call in contestants.items():
            begin = time.perf_counter()
            call()
            taken[name].append((time.perf_counter() - begin) * 1e6)
    return {
        name: Timing(statistics.quantiles(values, n=10, method="inclusive")[0], statistics.median(values))
        for name, values in taken.items()
    }
