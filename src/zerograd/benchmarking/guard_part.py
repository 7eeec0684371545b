"""The price of the guard: whole training steps of one network, guarded and not guarded, in turns."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import fmean
from typing import Any

import torch
from torch import nn

import zerograd
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.training_part import BATCHES, HYPERS, digits_mlp, images, training_step
from zerograd.benchmarking.turns import Timing, Turn, in_turns, threads_for

UNGUARDED = "not guarded"
COPIES = 4
"""Of each network, guarded and not. Two of a kind differ by a percent already, by where they lie in memory; their mean
counts."""


def seedling() -> nn.Module:
    """As small as a network gets."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


WORKLOADS: dict[str, tuple[Callable[[], nn.Module], Callable[..., Any], str]] = {
    "digits MLP": (digits_mlp, zerograd.AdamW, "zerograd.AdamW"),
    "digits MLP with torch.optim.Adam": (digits_mlp, torch.optim.Adam, "torch.optim.Adam"),
    "one linear layer": (seedling, zerograd.AdamW, "zerograd.AdamW"),
}


def measure_guard(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it."""
    part = Part("guard", "a whole training step, guarded or not", "microseconds")
    part.note("The column of zerograd is with the guard, as it is after its first cycles; the other one is without.")
    return part, _rows(plan)


def _rows(plan: Plan) -> Iterator[Row]:
    for workload, (network, make, name) in WORKLOADS.items():
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = network()
            batches = [images(8) for _ in range(BATCHES)]
        numbers = sum(p.numel() for p in model.parameters())
        contestants: dict[str, Turn] = {}
        with ExitStack() as guards, threads_for(numbers) as threads:
            for label, copied in itertools.product((UNGUARDED, OURS), range(COPIES)):
                own = copy.deepcopy(model)
                optimizer = make(own.parameters(), **HYPERS)
                if label == OURS:
                    guards.enter_context(zerograd.guard(optimizer, own))
                step = training_step(own, optimizer, batches)
                for _ in range(BATCHES):  # the first cycles are watched closely
                    step()
                contestants[f"{label} {copied}"] = Turn(step)
            outcome = in_turns(contestants, plan.budget)
        timings = {label: _mean(outcome.timings, label) for label in (UNGUARDED, OURS)}
        details = {"numbers": numbers, "optimizer": name, "hyperparameters": HYPERS, "copies": COPIES}
        yield Row(workload, timings, threads, outcome.rounds, details)


def _mean(timings: dict[str, Timing], label: str) -> Timing:
    own = [timings[f"{label} {copied}"] for copied in range(COPIES)]
    return Timing(fmean(one.p10 for one in own), fmean(one.median for one in own))
