"""Steps under clipping: optimizers, parameters of many kinds, and gradients whose norm is known.

Gradients are whole numbers times a power of two, so every sum of squares is exact. The limit is a quarter of the norm,
so what they are multiplied by is a quarter, and that is exact in every dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.common import noise
from zerograd import from_rule, optim, rules
from zerograd.lifecycle.clipping import EPS, GlobalNorm

MarsAdam = from_rule(rules.mars(rules.adam), name="MarsAdam", lr=0.1)
"""Its previous gradient starts as a gradient."""

CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "SGD": (optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "AdamW": (optim.AdamW, {"lr": 0.1}),
    "Lion": (optim.Lion, {"lr": 0.1}),
    "LAMB": (optim.LAMB, {"lr": 0.1}),  # a norm for each tensor
    "Prodigy": (optim.Prodigy, {"d0": 0.01}),  # totals over all tensors
    "NAdam": (optim.NAdam, {"lr": 0.1}),  # a scalar state
}


def make(case: str, params: Sequence[Tensor], **more: Any) -> Any:
    """An optimizer with two groups."""
    cls, hypers = CASES[case]
    return cls([{"params": params[:2]}, {"params": params[2:]}], **{**hypers, **more})


# --------------------------------------------------------------------------------------- parameters and gradients


def filled(*dtypes: torch.dtype) -> list[Tensor]:
    shapes = [(3, 2), (4,), (), (5, 3)]
    return [noise(i, *shapes[i % 4]).to(dtype).requires_grad_() for i, dtype in enumerate(dtypes)]


def with_a_rest() -> list[Tensor]:
    """Every other column of a matrix has gaps in memory: no kernel serves it."""
    params = filled(*[torch.float32] * 4)
    params[1] = noise(7, 4, 6)[:, ::2].requires_grad_()
    return params


def with_frozen() -> list[Tensor]:
    """One that takes no gradient, and one that has none."""
    return [*filled(*[torch.float32] * 3), noise(8, 3), noise(9, 2).requires_grad_()]


WORLDS: dict[str, Callable[[], list[Tensor]]] = {
    "float32": lambda: filled(*[torch.float32] * 4),
    "bfloat16": lambda: filled(*[torch.bfloat16] * 4),
    "mixed": lambda: filled(torch.float32, torch.float64, torch.bfloat16, torch.float32),
    "complex": lambda: filled(torch.complex64, torch.float32, torch.complex128),
    "with a rest": with_a_rest,
    "with frozen ones": with_frozen,
}


def whole(seed: int, *shape: int) -> Tensor:
    """Whole numbers from 1 to 8."""
    return torch.randint(1, 9, shape, generator=torch.Generator().manual_seed(seed)).double()


def gradient(p: Tensor, at: int, step: int, size: float) -> Tensor:
    """Another one at each step, and always of the same norm: only the signs differ."""
    parts = [whole(10 * at + i, *p.shape) * noise(1000 * step + 10 * at + i, *p.shape).sign() for i in range(2)]
    return (torch.complex(*parts) if p.is_complex() else parts[0]).mul(size).to(p.dtype)


def give(params: Sequence[Tensor], step: int, size: float = 1.0) -> None:
    for at, p in enumerate(params):
        if p.requires_grad and at < 4:
            p.grad = gradient(p, at, step, size)


def exact_norm(params: Sequence[Tensor]) -> float:
    total = 0.0
    for p in params:
        if p.grad is not None:
            g = p.grad.to_dense() if p.grad.layout != torch.strided else p.grad
            total += float((torch.view_as_real(g) if g.is_complex() else g).double().square().sum())
    return math.sqrt(total)


def measured(params: Sequence[Tensor]) -> Any:
    """The norm to the bit as optimizers see it: torch's square root is off by one in the last place now and then."""
    optimizer = optim.SGD(params, lr=0.0, clip=math.inf)
    optimizer.step()
    return optimizer.grad_norm


def quarter(params: Sequence[Tensor]) -> float:
    """The limit that makes a quarter, to the bit, of the gradients that the parameters have."""
    norm = measured(params)
    middle = (float(norm) + EPS) / 4
    near = [middle, math.nextafter(middle, math.inf), math.nextafter(middle, 0.0)]  # torch divides by multiplying
    return next(limit for limit in near if float(GlobalNorm(limit).factor(norm)) == 0.25)


def gradients(params: Sequence[Tensor]) -> list[Tensor]:
    return [p.grad.clone() for p in params if p.grad is not None]
