"""Which parts there are to measure, and how much time a run has. This file needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zerograd.errors import UsageError, did_you_mean

PARTS = ("step", "update_half", "training", "startup", "checks", "guard", "windows", "lint", "matrices")


@dataclass(frozen=True)
class Budget:
    """How long the contestants of one row take turns: for so many seconds, but for so many rounds at least.

    at_most: seconds after which no other round begins, whatever else is said, but one is always measured: where a
    processor has no operations for bfloat16, a step of Muon on large matrices takes minutes.
    """

    seconds: float
    rounds: int
    warm_up: int = 3
    at_most: float = 90.0


@dataclass(frozen=True)
class Plan:
    """The size of a run."""

    budget: Budget
    largest: int
    """Models of more numbers than this are left out."""
    low_precision: bool
    """Whether large models are measured in bfloat16 too."""
    repetitions: int
    """How often a fresh process is started."""


FULL = Plan(Budget(seconds=15.0, rounds=20), largest=50_000_000, low_precision=True, repetitions=5)
"""About eight minutes; the largest models need 5 GB of memory."""

QUICK = Plan(
    Budget(seconds=0.7, rounds=5, warm_up=2, at_most=15.0), largest=20_000_000, low_precision=False, repetitions=1
)
"""About a minute and 2 GB."""


def check_parts(names: Sequence[str]) -> tuple[str, ...]:
    """The parts of these names, in their usual order; all of them if none is named."""
    for name in names:
        if name not in PARTS:
            raise UsageError(f"There is no part {name!r}. {did_you_mean(name, PARTS)}")
    return tuple(part for part in PARTS if part in names) if names else PARTS
