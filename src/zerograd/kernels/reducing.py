"""How a kernel asks for a reduction that spans more tensors than its own.

A kernel is a generator: it yields a ``Partial`` and is sent the finished number. So the step loop can run the first
pass of every kernel, add the parts up, and go on with the second pass of each.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Partial:
    """One kernel's part of a total, norm or mean per group or in all.

    amount: 0-dim tensor; the sum of the elements, of their squares for a norm. count: number of elements.
    """

    kind: str
    per: str
    amount: Tensor
    count: int


Kernel = Generator[Partial, Tensor, Any]
"""Runs one bucket of tensors; returns what the backend says."""


def accumulator_dtype(device: torch.device, compute: torch.dtype) -> torch.dtype:
    """What sums are kept in: float64 where the device has it."""
    return compute if device.type == "mps" else torch.float64


def finished(kind: str, amount: Tensor, count: int) -> Tensor:
    """The value of a reduction from the sum over all its parts."""
    if kind == "norm":
        return amount.sqrt()
    return amount / count if kind == "mean" else amount


def combined(partials: list[Partial]) -> Tensor:
    """The reduction over all parts, on the device of the first."""
    device = partials[0].amount.device
    amount = partials[0].amount
    for partial in partials[1:]:
        amount = amount + partial.amount.to(device)
    return finished(partials[0].kind, amount, sum(p.count for p in partials))
