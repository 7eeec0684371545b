"""`step()` alone, over models of all sizes, and the memory bandwidth that the largest reaches."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from zerograd.benchmarking.entrants import HYPERS, WATCHED, Start, deepspeed_entrant, torch_and_ours
from zerograd.benchmarking.model_shapes import ONE_LARGE, STEP_MODELS, Model
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import COPY, Part, Row
from zerograd.benchmarking.turns import TINY, Turn, in_turns, threads_for

ADAMW_BYTES, COPY_BYTES = 28, 8
"""What one float32 element moves. AdamW reads p, g, m, v and writes p, m, v; a copy reads one and writes one.

A copy is not the limit: most processors also fetch what a copy is going to overwrite, and these 4 bytes do not count.
AdamW overwrites only what it has read, so it can reach more.
"""


def measure_step(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it as they are measured."""
    part = Part("step", "one step()", "microseconds")
    return part, _rows(part, plan)


def _rows(part: Part, plan: Plan) -> Iterator[Row]:
    for model in STEP_MODELS:
        if model.numbers > plan.largest:
            continue
        dtypes = [torch.float32, torch.bfloat16] if plan.low_precision and model.numbers >= TINY else [torch.float32]
        for dtype in dtypes:
            for name in HYPERS:
                yield _row(part, model, name, dtype, plan)


def _row(part: Part, model: Model, name: str, dtype: torch.dtype, plan: Plan) -> Row:
    start = Start.drawn(model.shapes, dtype)
    entrants = torch_and_ours(name, start)
    if name == "AdamW":
        more, sentence = deepspeed_entrant(start)
        entrants |= more
        part.note(sentence)
    turns = {label: Turn(entrant.optimizer.step) for label, entrant in entrants.items()}
    bandwidth = model is ONE_LARGE and name == "AdamW" and dtype == torch.float32
    if bandwidth:
        source, target = start.grads[0].clone(), torch.empty_like(start.grads[0])
        turns[COPY] = Turn(lambda: target.copy_(source))
    with threads_for(model.numbers) as threads:
        outcome = in_turns(turns, plan.budget)
    still = tuple(label for label, entrant in entrants.items() if entrant.stands_still(start))
    for label in still:
        part.note(
            f"* {label} did not move the first {WATCHED:,} numbers at all: its time is not that of the whole work."
        )
    speeds = {}
    if bandwidth:
        for label, timing in outcome.timings.items():
            moved = model.numbers * (COPY_BYTES if label == COPY else ADAMW_BYTES)
            speeds[label] = moved / (timing.median * 1e-6) / 1e9
    short = str(dtype).removeprefix("torch.")
    return Row(
        f"{model.name}, {name}" + (f", {short}" if dtype != torch.float32 else ""),
        outcome.timings,
        threads,
        outcome.rounds,
        {
            "model": model.name,
            "tensors": len(model.shapes),
            "numbers": model.numbers,
            "optimizer": name,
            "hyperparameters": HYPERS[name],
            "dtype": short,
        },
        speeds,
        still,
    )
