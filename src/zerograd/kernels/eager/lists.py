"""What the printed functions call besides torch's own: small operations on lists of tensors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from zerograd.kernels.reducing import accumulator_dtype


def elements(tensors: list[Tensor]) -> int:
    """How many elements the tensors have together."""
    return sum(t.numel() for t in tensors)


def within(number: float, dtype: torch.dtype) -> float:
    """A number as the dtype has it: infinite if it is beyond."""
    limit = torch.finfo(dtype).max
    return number if -limit <= number <= limit else math.copysign(math.inf, number)


def late_scalar(value: Any, like: list[Tensor], dtype: torch.dtype) -> Tensor:
    """A late scalar, or a host number in its place, as a tensor."""
    kind = torch.bool if isinstance(value, bool) else _accumulator(like, dtype)
    return value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=kind, device=like[0].device)


def each(vector: Any, like: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """A vector with one number (or truth value) a tensor, as 0-dim tensors."""
    vector = vector if vector.dtype == torch.bool else vector.to(dtype)
    return list(vector.expand(len(like)).unbind())


def repeated(number: Tensor, like: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """One number (or truth value) for all tensors, once for each."""
    return [number.to(device=like[0].device, dtype=number.dtype if number.dtype == torch.bool else dtype)] * len(like)


def filled(like: list[Tensor], value: Any) -> list[Tensor]:
    """New tensors shaped like ``like`` that hold ``value``: a number or truth value, or one 0-dim tensor for each."""
    if isinstance(value, list):
        return [v.expand_as(t) for t, v in zip(like, value, strict=True)]
    return [torch.full_like(t, value, dtype=torch.bool if isinstance(value, bool) else t.dtype) for t in like]


def chosen(condition: Any, a: Any, b: Any, dtype: torch.dtype) -> list[Tensor]:
    """where(condition, a, b) on lists; a and b may be numbers, which take the dtype of the computation."""
    found: list[Tensor] = []
    for i, c in enumerate(condition):
        x, y = (arm[i] if isinstance(arm, (list, tuple)) else arm for arm in (a, b))
        if not isinstance(x, Tensor) and not isinstance(y, Tensor):
            kind = torch.bool if isinstance(x, bool) else dtype
            x = torch.as_tensor(x, dtype=kind, device=c.device)
            y = torch.as_tensor(y, dtype=kind, device=c.device)
        found.append(torch.where(c, x, y))
    return found


def _accumulator(tensors: Any, dtype: torch.dtype) -> torch.dtype:
    return accumulator_dtype(tensors[0].device, dtype)


def norm_of_each(tensors: Any, dtype: torch.dtype) -> Tensor:
    """The 2-norm of each tensor: vector, float64 where the device has it."""
    return torch.stack(list(torch._foreach_norm(tensors, 2, dtype=_accumulator(tensors, dtype))))


def total_of_each(tensors: Any, dtype: torch.dtype) -> Tensor:
    """The sum of each tensor: vector, float64 where the device has it."""
    accumulator = _accumulator(tensors, dtype)
    return torch.stack([t.sum(dtype=accumulator) for t in tensors])


def mean_of_each(tensors: Any, dtype: torch.dtype) -> Tensor:
    """The mean of each tensor: vector, float64 where the device has it."""
    totals = total_of_each(tensors, dtype)
    return totals / torch.tensor([t.numel() for t in tensors], dtype=totals.dtype, device=totals.device)


def total_of_all(tensors: Any, dtype: torch.dtype) -> Tensor:
    """The sum over all tensors: 0-dim."""
    return total_of_each(tensors, dtype).sum()


def squares_of_all(tensors: Any, dtype: torch.dtype) -> Tensor:
    """The sum of squares over all tensors: 0-dim."""
    return norm_of_each(tensors, dtype).square().sum()
