"""How a kernel asks for a reduction that spans more tensors than its own.

A kernel is a generator: it yields a ``Partial`` and is sent the finished number. So the step loop can run the first
pass of every kernel, add the parts up, and go on with the second pass of each.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Amount = Tensor | float
"""A number: a 0-dim tensor where a device computed it, else a float."""


@dataclass(frozen=True)
class Partial:
    """One kernel's part of a total, norm or mean per group or in all.

    amount: the sum of the elements, of their squares for a norm. count: number of elements.
    """

    kind: str
    per: str
    amount: Amount
    count: int


Kernel = Generator[Partial, Amount, Any]
"""Runs one bucket of tensors; returns what the backend says."""


def accumulator_dtype(device: torch.device, compute: torch.dtype) -> torch.dtype:
    """What sums are kept in: float64 where the device has it."""
    return compute if device.type == "mps" else torch.float64


def finished(kind: str, amount: Any, count: int) -> Any:
    """The value of a reduction from the sum over all its parts."""
    if kind == "norm":
        return amount.sqrt() if isinstance(amount, Tensor) else math.sqrt(amount) if amount >= 0 else math.nan
    return amount / count if kind == "mean" else amount


def added(amounts: Sequence[Amount]) -> Amount:
    """The sum of amounts, on the device of the first that is on one."""
    device = next((a.device for a in amounts if isinstance(a, Tensor)), None)
    total: Amount = 0.0
    for amount in amounts:
        total = total + (amount.to(device) if isinstance(amount, Tensor) else amount)
    return total


def like(value: Amount, amount: Amount) -> Amount:
    """A number in the form that a kernel's own part had."""
    if isinstance(amount, Tensor):
        return torch.as_tensor(value, dtype=amount.dtype, device=amount.device)
    return value.item() if isinstance(value, Tensor) else value


def combined(partials: Sequence[Partial]) -> Any:
    """The reduction over all parts."""
    return finished(partials[0].kind, added([p.amount for p in partials]), sum(p.count for p in partials))
