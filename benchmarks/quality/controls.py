"""How states are kept that do not train: the controls, which every comparison has to find out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from zerograd.formats.blocks import BMF34, UBMF44, BlockFormat
from zerograd.kernels.eager.blocks import decoded, empty, encode


def nearest(state: Tensor, form: BlockFormat) -> Tensor:
    """The same codes, but rounded to the nearest."""
    codes, scales = empty(state)
    encode(state, codes, scales, form, None)
    return decoded(codes, scales, form)


def evenly(state: Tensor, form: BlockFormat) -> Tensor:
    """The nearest of evenly spaced codes up to the largest element of a row; of squares, their roots. So zero has a
    code, and small squares get it."""
    x, levels = (state, 127) if form.signed else (state.sqrt(), 255)
    scale = x.abs().amax(1, keepdim=True) / levels
    coded = torch.where(scale > 0, (x / scale).round() * scale, x)
    return coded if form.signed else coded.square()


CONTROLS: dict[str, Callable[[Tensor, BlockFormat], Tensor]] = {"nearest": nearest, "evenly": evenly}

_FORMS = {"exp_avg": BMF34, "momentum_buffer": BMF34, "exp_avg_sq": UBMF44}


def stored_as(control: str, optimizer: Any) -> None:
    """Make the plain states of matrices what they would be after this step."""
    for p, state in optimizer.state.items():
        for name, form in _FORMS.items():
            if name in state and p.dim() > 1:
                state[name].copy_(CONTROLS[control](state[name], form))
