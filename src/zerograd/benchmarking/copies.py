"""Ways to train one network, each on several copies of it: where a network lies in memory decides over a percent."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import Row
from zerograd.benchmarking.turns import Timing, Turn, in_turns, threads_for

COPIES = 4

Batches = Sequence[tuple[Tensor, Tensor]]
Way = Callable[[nn.Module, Any, Batches], tuple[Callable[[], None], Callable[[], None]]]
"""From a model, its optimizer and batches to a function that trains, and one that ends it."""


def in_copies(
    workload: str, network: Callable[[], nn.Module], make: Callable[[Iterable[Tensor]], Any], ways: Mapping[str, Way],
    batches: Batches, plan: Plan, details: Mapping[str, object],
) -> Row:  # fmt: skip
    """A row whose contestants are the ways, each with the mean of its copies' times."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = network()
    numbers = sum(p.numel() for p in model.parameters())
    contestants: dict[str, Turn] = {}
    with ExitStack() as ends, threads_for(numbers) as threads:
        for (label, way), copied in itertools.product(ways.items(), range(COPIES)):
            own = copy.deepcopy(model)
            train, end = way(own, make(own.parameters()), batches)
            ends.callback(end)
            contestants[f"{label} {copied}"] = Turn(train)
        outcome = in_turns(contestants, plan.budget)
    timings = {label: _mean([outcome.timings[f"{label} {copied}"] for copied in range(COPIES)]) for label in ways}
    return Row(workload, timings, threads, outcome.rounds, {"numbers": numbers, **details, "copies": COPIES})


def _mean(timings: Sequence[Timing]) -> Timing:
    return Timing(fmean(one.p10 for one in timings), fmean(one.median for one in timings))
