"""What each safety check of a step costs, on the seed model: measured one by one, in turns with the whole step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

from zerograd.benchmarking.entrants import Start, torch_and_ours
from zerograd.benchmarking.model_shapes import SEED
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.turns import Turn, in_turns, threads_for
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.counting import InOrder


def measure_checks(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it as they are measured."""
    part = Part("checks", "parts of a step of the seed model, each called alone", "microseconds")
    part.note("Each part pays for a call from Python of its own, as an empty call does; in a step they share one.")
    part.note("Objects: groups, parameters, states are those of the last step. Tensors: where they lay, gradients fit.")
    return part, (row for name in ("AdamW", "SGD") for row in _rows(name, plan))


def parts_of_step(optimizer: Any) -> dict[str, Callable[[], object]]:
    """What a steady step consists of, as calls that can be made again and again without harm.

    Raises RuntimeError where a step is not one native call, so that there is nothing to take apart.
    """
    plan = optimizer._plan
    calls = None if plan is None else [plan.witness.call, plan.inspector.call, plan.versions.call]
    if calls is None or None in calls:
        raise RuntimeError("a step does not run as one native call here; `zerograd doctor` says why")
    bucket = plan.buckets[0]
    return {
        "check of objects": lambda: pool.run_short(*plan.witness.call),
        "check of tensors": lambda: pool.run_short(*plan.inspector.call),
        "check of step counts": lambda: pool.run_short(*plan.counts.check),
        "numbers of the step": lambda: pool.run_short(*plan.numbers[0]),
        "kernel": lambda: bucket.table.launch(bucket.kernel.functions[0].address),
        "version counters": lambda: pool.run_short(*plan.versions.call),
        "empty call": InOrder([]).run,
    }


def _rows(name: str, plan: Plan) -> Iterator[Row]:
    start = Start.drawn(SEED.shapes, torch.float32)
    entrants = torch_and_ours(name, start, foreach=False)
    optimizer = entrants[OURS].optimizer
    with threads_for(SEED.numbers) as threads:
        for _ in range(3):
            optimizer.step()
        whole = {label: one.optimizer.step for label, one in entrants.items()}
        parts = parts_of_step(optimizer)
        outcome = in_turns({label: Turn(call) for label, call in {**whole, **parts}.items()}, plan.budget)
    timings, details = outcome.timings, {"optimizer": name}
    yield Row(f"{name}, the whole step", {k: timings[k] for k in whole}, threads, outcome.rounds, {**details})
    for part in parts:
        yield Row(f"{name}, {part}", {OURS: timings[part]}, threads, outcome.rounds, {**details})
