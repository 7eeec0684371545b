"""The update half as people write it: clip the gradient, step, zero_grad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

import zerograd
from zerograd.benchmarking.entrants import HYPERS, Entrant, Start, entrant
from zerograd.benchmarking.model_shapes import UPDATE_MODELS, Model
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import DEFAULT, FUSED, OURS, Part, Row
from zerograd.benchmarking.turns import Turn, in_turns, threads_for

LARGEST_NORM = 1.0
OUR_HYPERS = HYPERS["AdamW"] | {"clip": LARGEST_NORM}


def measure_update_half(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it as they are measured."""
    part = Part("update_half", "clipping to norm 1, AdamW's step and zero_grad", "microseconds")
    models = (model for model in UPDATE_MODELS if model.numbers <= plan.largest)
    return part, (_row(model, plan) for model in models)


def update_entrants(start: Start) -> dict[str, Entrant]:
    """AdamW: torch's default, torch's fused, and zerograd's, which clips inside its step."""
    hypers = HYPERS["AdamW"]
    makers: dict[str, Callable[[list[Tensor]], Any]] = {
        DEFAULT: lambda params: torch.optim.AdamW(params, **hypers),
        FUSED: lambda params: torch.optim.AdamW(params, fused=True, **hypers),
        OURS: lambda params: zerograd.AdamW(params, **OUR_HYPERS),
    }
    return {label: entrant(make, start) for label, make in makers.items()}


def update_turn(label: str, one: Entrant, start: Start) -> Turn:
    """Clipping, step and zero_grad. The gradients keep their memory, and before each turn they are written anew."""
    optimizer, params = one.optimizer, one.params

    def in_torch() -> None:
        clip_grad_norm_(params, LARGEST_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    def in_zerograd() -> None:
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    return Turn(in_zerograd if label == OURS else in_torch, prepare=lambda: one.refill(start))


def _row(model: Model, plan: Plan) -> Row:
    start = Start.drawn(model.shapes, torch.float32)
    turns = {label: update_turn(label, one, start) for label, one in update_entrants(start).items()}
    with threads_for(model.numbers) as threads:
        outcome = in_turns(turns, plan.budget)
    return Row(
        model.name,
        outcome.timings,
        threads,
        outcome.rounds,
        {
            "tensors": len(model.shapes),
            "numbers": model.numbers,
            "optimizer": "AdamW",
            "hyperparameters": HYPERS["AdamW"],
            "clip": LARGEST_NORM,
            "dtype": "float32",
        },
    )
