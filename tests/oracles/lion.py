"""Lion (arXiv 2302.06675): the sign of an interpolation between the momentum and the gradient."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Group, Reference, State


class Lion(Reference):
    """Decoupled decay first; sign(0) is 0; the momentum is updated after the parameter."""

    hyper: ClassVar[dict[str, Any]] = {"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0}

    def begin(self, p: Tensor) -> State:
        return {"exp_avg": torch.zeros_like(p)}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1, beta2 = group["betas"]
        m = state["exp_avg"]
        p *= 1 - group["lr"] * group["weight_decay"]
        p -= group["lr"] * torch.sign(beta1 * m + (1 - beta1) * g)
        state["exp_avg"] = beta2 * m + (1 - beta2) * g
