"""The price of the guard: whole training steps of one network, guarded and not guarded, in turns."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

import zerograd
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.training_part import BATCHES, HYPERS, digits_mlp, images, training_step
from zerograd.benchmarking.turns import Turn, in_turns, threads_for

UNGUARDED = "not guarded"


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
        plain, guarded = copy.deepcopy(model), copy.deepcopy(model)
        optimizers = [make(one.parameters(), **HYPERS) for one in (plain, guarded)]
        numbers = sum(p.numel() for p in model.parameters())
        with zerograd.guard(optimizers[1], guarded):
            steps = {
                UNGUARDED: training_step(plain, optimizers[0], batches),
                OURS: training_step(guarded, optimizers[1], batches),
            }
            for _ in range(BATCHES):  # the first cycles are watched closely
                steps[OURS]()
            with threads_for(numbers) as threads:
                outcome = in_turns({label: Turn(step) for label, step in steps.items()}, plan.budget)
        details = {"numbers": numbers, "optimizer": name, "hyperparameters": HYPERS}
        yield Row(workload, outcome.timings, threads, outcome.rounds, details)
