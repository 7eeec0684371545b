"""ADOPT (arXiv 2411.02853, the clipped version): the gradient is divided by the previous second moment."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Group, Reference, State


class ADOPT(Reference):
    """The first step only stores g^2; with decoupled=True the decay acts at the first step too."""

    hyper: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "betas": (0.9, 0.9999),
        "eps": 1e-6,
        "weight_decay": 0.0,
        "decoupled": False,
    }

    def begin(self, p: Tensor) -> State:
        return {"exp_avg": torch.zeros_like(p), "exp_avg_sq": torch.zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        t = state["step"]
        if group["decoupled"]:
            p *= 1 - group["lr"] * group["weight_decay"]
        else:
            g = g + group["weight_decay"] * p
        if t == 1:
            state["exp_avg_sq"] = g**2
            return
        limit = (t - 1) ** 0.25
        n = g / state["exp_avg_sq"].sqrt().clamp(min=group["eps"])
        n = n.clamp(-limit, limit)
        state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * n
        p -= group["lr"] * state["exp_avg"]
        state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
