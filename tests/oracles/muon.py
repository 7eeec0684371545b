"""Muon (Jordan and others 2024, kellerjordan.github.io/posts/muon), as torch.optim.Muon documents it."""

from __future__ import annotations

from math import sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Group, Reference, State, lerp


class Muon(Reference):
    """Where torch differs from the post: the momentum is a mean, B = momentum * B + (1 - momentum) * g, and the decay
    is decoupled; the step may be scaled to the size of AdamW's (Liu and others 2025, arXiv 2502.16982).

    ``newton_schulz`` is the iteration in bfloat16, every product of numbers summed up in float64 and rounded once.
    """

    hyper: ClassVar[dict[str, Any]] = {
        "lr": 1e-3, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True,
        "ns_coefficients": (3.4445, -4.7750, 2.0315), "eps": 1e-7, "ns_steps": 5, "adjust_lr_fn": None,
    }  # fmt: skip

    def begin(self, p: Tensor) -> State:
        return {"momentum_buffer": torch.zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        momentum = group["momentum"]
        buffer = state["momentum_buffer"] = lerp(state["momentum_buffer"], g, 1 - momentum)
        direction = lerp(g, buffer, momentum) if group["nesterov"] else buffer
        x = newton_schulz(direction, group["ns_coefficients"], group["ns_steps"], group["eps"])
        rows, columns = p.shape
        if group["adjust_lr_fn"] == "match_rms_adamw":
            scale = 0.2 * sqrt(max(rows, columns))
        else:
            scale = sqrt(max(1.0, rows / columns))
        p *= 1 - group["lr"] * group["weight_decay"]
        p -= group["lr"] * scale * x


def newton_schulz(direction: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """X = a X + (b A + c A A) X with A = X X^T, on the matrix laid on its wide side."""
    a, b, c = coefficients
    rows, columns = direction.shape
    x = bfloat16(direction.T if rows > columns else direction)
    size = bfloat16((x * x).sum().sqrt())
    x = bfloat16(x / size.clamp(min=float(bfloat16(torch.tensor(eps, dtype=x.dtype)))))
    for _ in range(steps):
        gram = bfloat16(x @ x.T)
        polynomial = bfloat16(b * gram + c * (gram @ gram))
        x = bfloat16(a * x + polynomial @ x)
    return x.T if rows > columns else x


def bfloat16(x: Tensor) -> Tensor:
    """Rounded to the 8 bits of bfloat16, in float64."""
    return x.to(torch.bfloat16).to(x.dtype)
