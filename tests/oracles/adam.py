"""Adam (arXiv 1412.6980) and AdamW (arXiv 1711.05101): the inner updates of the wrapping oracles."""

from __future__ import annotations

from math import sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Group, Reference, State


def adam_direction(g: Tensor, state: State, group: Group) -> Tensor:
    """Update both moments with g and return the direction u of p -= lr * u."""
    beta1, beta2 = group["betas"]
    t = state["step"]
    state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * g
    state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
    m_hat: Tensor = state["exp_avg"] / (1 - beta1**t)
    root: Tensor = state["exp_avg_sq"].sqrt() / sqrt(1 - beta2**t)
    u: Tensor = m_hat / (root + group["eps"])
    return u


class Adam(Reference):
    """weight_decay is coupled: it is added to the gradient."""

    hyper: ClassVar[dict[str, Any]] = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

    def begin(self, p: Tensor) -> State:
        return {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        p -= group["lr"] * adam_direction(g + group["weight_decay"] * p, state, group)


class AdamW(Adam):
    """weight_decay is decoupled: the parameter shrinks by 1 - lr * weight_decay before the update."""

    hyper: ClassVar[dict[str, Any]] = {**Adam.hyper, "weight_decay": 1e-2}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        p *= 1 - group["lr"] * group["weight_decay"]
        p -= group["lr"] * adam_direction(g, state, group)
