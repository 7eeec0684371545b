"""`step()` of Muon, over few matrices and many: nine tenths of it are products, which torch computes for both."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import torch

import zerograd
from zerograd.benchmarking.entrants import Start, entrant
from zerograd.benchmarking.model_shapes import Model
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import DEFAULT, OURS, Part, Row
from zerograd.benchmarking.turns import Turn, in_turns, threads_for

BLOCK = ((768, 768),) * 4 + ((3072, 768), (768, 3072))
MODELS = (
    Model("50 of 16x16", ((16, 16),) * 50),
    Model("one of 300x300", ((300, 300),)),
    Model("one of 512x512", ((512, 512),)),
    Model("6 of 300x300", ((300, 300),) * 6),
    Model("6 of 512x512", ((512, 512),) * 6),
    Model("two blocks of width 768", BLOCK * 2),
)
HYPERS: dict[str, Any] = {"lr": 0.02, "weight_decay": 0.1}

LONGEST = 5.0
"""Seconds: a model is left out if a step takes longer, going by the time of a small product. Muon computes in bfloat16,
and processors without operations for that take hundreds of times as long."""


def measure_matrices(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it as they are measured."""
    part = Part("matrices", "one step() of Muon", "microseconds")
    part.note("torch's Muon has one implementation. A block is four matrices of attention and two of the MLP.")
    return part, _rows(part, plan)


def _rows(part: Part, plan: Plan) -> Iterator[Row]:
    rate = products_a_second()
    for model in MODELS:
        if model.numbers > plan.largest:
            continue
        if (seconds := 15 * operations(model) / rate) > LONGEST:
            part.note(f"{model.name} is left out: products of bfloat16 are slow here, a step takes {seconds:.0f} s.")
            continue
        yield _row(model, plan)


def products_a_second(size: int = 256) -> float:
    """Multiplications in bfloat16 that this machine does in a second, by the fastest of three products of matrices."""
    matrix = torch.randn(size, size, generator=torch.Generator().manual_seed(0)).bfloat16()
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - begin)
    return size**3 / min(taken)


def operations(model: Model) -> int:
    """Multiplications of one product of each matrix with itself; Muon's five iterations have three such each."""
    return sum(rows * columns * min(rows, columns) for rows, columns in model.shapes)


def _row(model: Model, plan: Plan) -> Row:
    start = Start.drawn(model.shapes, torch.float32)
    entrants = {
        DEFAULT: entrant(lambda params: torch.optim.Muon(params, **HYPERS), start),
        OURS: entrant(lambda params: zerograd.Muon(params, **HYPERS), start),
    }
    with threads_for(operations(model)) as threads:
        outcome = in_turns({label: Turn(one.optimizer.step) for label, one in entrants.items()}, plan.budget)
    details = {"tensors": len(model.shapes), "numbers": model.numbers, "optimizer": "Muon", "hyperparameters": HYPERS}
    return Row(f"Muon, {model.name}", outcome.timings, threads, outcome.rounds, {"model": model.name, **details})
