"""The price of the guard: whole training steps of one network, guarded and not guarded, in turns."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch

import zerograd
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.training_part import BATCHES, HYPERS, digits_mlp, images, training_step
from zerograd.benchmarking.turns import Turn, in_turns, threads_for

UNGUARDED = "not guarded"


def measure_guard(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the row that will fill it."""
    part = Part("guard", "a whole training step with zerograd.AdamW, guarded or not", "microseconds")
    part.note("The column of zerograd is with the guard, as it is after its first cycles; the other one is without.")
    return part, _rows(plan)


def _rows(plan: Plan) -> Iterator[Row]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = digits_mlp()
        batches = [images(8) for _ in range(BATCHES)]
    plain, guarded = copy.deepcopy(model), copy.deepcopy(model)
    optimizers = [zerograd.AdamW(one.parameters(), **HYPERS) for one in (plain, guarded)]
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
    details = {"numbers": numbers, "optimizer": "zerograd.AdamW", "hyperparameters": HYPERS}
    yield Row("digits MLP", outcome.timings, threads, outcome.rounds, details)
