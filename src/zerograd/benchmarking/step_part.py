"""`step()` alone, over models of all sizes, and the memory bandwidth that the largest reaches."""

from __future__ import annotations

from collections.abc import Iterator

import torch

import zerograd
from zerograd.benchmarking.entrants import HYPERS, WATCHED, Start, deepspeed_entrant, entrant, torch_and_ours
from zerograd.benchmarking.model_shapes import ONE_LARGE, STEP_MODELS, Model
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import COPY, INT8, Part, Row
from zerograd.benchmarking.turns import TINY, Turn, in_turns, threads_for

ADAMW_BYTES, COPY_BYTES, INT8_BYTES = 28, 8, 16.125
"""What one float32 element moves: in AdamW, in a copy, in AdamW with states in 8 bits and their scales. AdamW reads p,
g, m, v and writes p, m, v; a copy reads one and writes one.

A copy is not the limit: most processors also fetch what a copy is going to overwrite, and these 4 bytes do not count.
AdamW overwrites only what it has read, so it can reach more.
"""


def in_8_bits(params: list[torch.Tensor]) -> zerograd.AdamW:
    """AdamW with 8-bit states."""
    return zerograd.AdamW(
        params, state_format="int8", lr=HYPERS["AdamW"]["lr"], weight_decay=HYPERS["AdamW"]["weight_decay"]
    )


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
        entrants[INT8] = entrant(in_8_bits, start)
        part.note(f"{INT8} has 8-bit states; its ratio too is a time over zerograd's with states as torch has them.")
        more, sentence = deepspeed_entrant(start)
        entrants |= more
        part.note(sentence)
    turns = {label: Turn(one.optimizer.step) for label, one in entrants.items()}
    bandwidth = model is ONE_LARGE and name == "AdamW" and dtype == torch.float32
    if bandwidth:
        source, target = start.grads[0].clone(), torch.empty_like(start.grads[0])
        turns[COPY] = Turn(lambda: target.copy_(source))
    with threads_for(model.numbers) as threads:
        outcome = in_turns(turns, plan.budget)
    still = tuple(label for label, one in entrants.items() if one.stands_still(start))
    for label in still:
        part.note(
            f"* {label} did not move the first {WATCHED:,} numbers at all: its time is not that of the whole work."
        )
    speeds = {}
    if bandwidth:
        moves = {COPY: COPY_BYTES, INT8: INT8_BYTES}
        for label, timing in outcome.timings.items():
            moved = model.numbers * moves.get(label, ADAMW_BYTES)
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
