"""From a loss for each sample to what is asked for, and the module that keeps the options of a loss."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Reduction = Literal["none", "mean", "sum"]
REDUCTIONS = ("none", "mean", "sum")


def check_reduction(reduction: str) -> None:
    """Refuse what is not one of torch's three words."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"{reduction!r} is not a valid value for reduction: it is 'none', 'mean' or 'sum'.")


def reduced(losses: Tensor, reduction: str, count: Tensor | int) -> Tensor:
    """``losses`` as they are, their sum, or their sum over ``count``."""
    if reduction == "none":
        return losses
    total = exact(losses).sum()  # the sum of a large batch is more than float16 holds, its mean is not
    return (total if reduction == "sum" else total / count).to(losses.dtype)


def exact(numbers: Tensor) -> Tensor:
    """Numbers of 16 bits in 32."""
    return numbers.float() if numbers.dtype in (torch.float16, torch.bfloat16) else numbers


class WeightedLoss(nn.Module):
    """What the modules share: a reduction, and weights that move with ``to()`` and stand in the state dict."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None, reduction: str) -> None:
        super().__init__()
        check_reduction(reduction)
        self.register_buffer("weight", weight)
        self.reduction = reduction
