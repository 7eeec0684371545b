"""Clipping: gradients scaled down so that their norm does not go beyond a limit (Pascanu, Mikolov and Bengio 2013)."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any

from torch import Tensor

EPS = 1e-6
"""Added to the norm before the division, as in torch.nn.utils.clip_grad_norm_."""


@dataclass(frozen=True)
class GlobalNorm:
    """All gradients together are scaled so that their 2-norm is at most ``limit``."""

    limit: float

    def factor(self, norm: Any) -> Any:
        """What gradients of this norm are multiplied by: at most 1, and nan for a norm that is nan, as in torch.

        An infinite limit clips nothing, whatever the norm is.
        """
        if math.isinf(self.limit):
            return 1.0
        if isinstance(norm, Tensor):
            return (self.limit / (norm + EPS)).clamp(max=1.0)
        factor = self.limit / (norm + EPS)
        return 1.0 if factor > 1.0 else factor


def as_policy(value: Any, optimizer: str) -> GlobalNorm | None:
    """What ``clip=`` means; ValueError or TypeError for what it can't."""
    if value is None or isinstance(value, GlobalNorm):
        return value
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{optimizer}: clip must be a number, the largest norm of all gradients, or None; not {value!r}"
        )
    try:
        limit = float(value)
    except OverflowError:  # a whole number beyond all floats
        limit = math.inf if value == abs(value) else -math.inf
    if not limit > 0:
        raise ValueError(f"{optimizer}: clip={value} must be more than 0: it is the largest norm of all gradients")
    return GlobalNorm(limit)


def norm_of(squares: Any) -> Any:
    """The norm from the sum of squares: a float, or a 0-dim tensor where a device computed it."""
    return squares.sqrt() if isinstance(squares, Tensor) else math.sqrt(squares)
