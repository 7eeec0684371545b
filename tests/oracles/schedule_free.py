"""Schedule-Free AdamW (arXiv 2405.15682): gradients at y, steps at z, and the average x is the result."""

from __future__ import annotations

from math import sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Group, Reference, State


def evaluation_point(p: Tensor, z: Tensor, beta1: float) -> Tensor:
    """The average x behind y = beta1 * x + (1 - beta1) * z, where p holds y."""
    return (p - (1 - beta1) * z) / beta1


class ScheduleFreeAdamW(Reference):
    """The parameter holds y; k, lr_max and weight_sum belong to the group.

    k counts the group's steps with at least one gradient. No first moment: y takes the place of momentum.
    """

    hyper: ClassVar[dict[str, Any]] = {
        "lr": 2.5e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "warmup_steps": 0,
        "r": 0.0,
        "weight_lr_power": 2.0,
    }

    def __init__(self, groups: Any, **defaults: Any) -> None:
        super().__init__(groups, **defaults)
        for group in self.param_groups:
            group.update(k=0, lr_max=0.0, weight_sum=0.0)

    def begin(self, p: Tensor) -> State:
        return {"z": p.detach().clone(), "exp_avg_sq": torch.zeros_like(p)}

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            present = list(self.gradients(group))
            if not present:
                continue
            group["k"] += 1
            k, lr = group["k"], group["lr"]
            if k < group["warmup_steps"]:
                lr = lr * k / group["warmup_steps"]
            group["lr_max"] = max(group["lr_max"], lr)
            weight = k ** group["r"] * group["lr_max"] ** group["weight_lr_power"]
            group["weight_sum"] += weight
            c = weight / group["weight_sum"] if group["weight_sum"] > 0 else 0.0
            for p, g, state in present:
                state["step"] += 1
                self.move(p, g, state, group, lr, c)

    def move(self, p: Tensor, g: Tensor, state: State, group: Group, lr: float, c: float) -> None:
        """z takes the step, x averages z in with weight c, y lies between them; x is kept as beta1 * x."""
        beta1, beta2 = group["betas"]
        beta1_x = p - (1 - beta1) * state["z"]
        state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
        root = state["exp_avg_sq"].sqrt() / sqrt(1 - beta2 ** group["k"])
        direction = g / (root + group["eps"]) + group["weight_decay"] * p
        state["z"] = state["z"] - lr * direction
        beta1_x = (1 - c) * beta1_x + c * beta1 * state["z"]
        p.copy_(beta1_x + (1 - beta1) * state["z"])
