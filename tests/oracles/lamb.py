"""LAMB (arXiv 1904.00962, with bias correction): Adam whose step is as long as the parameter's norm."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .adam import Adam, adam_direction
from .base import Group, State, norm


class LAMB(Adam):
    """The decay is part of the direction, hence of the trust ratio; gradients are not clipped."""

    hyper: ClassVar[dict[str, Any]] = {
        "lr": 1e-3,
        "betas": (0.9, 0.999),
        "eps": 1e-6,
        "weight_decay": 0.01,
        "always_adapt": False,
    }

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        u = adam_direction(g, state, group) + group["weight_decay"] * p
        ratio = 1.0
        adapt = group["weight_decay"] != 0 or group["always_adapt"]
        if adapt and norm(p) > 0 and norm(u) > 0:
            ratio = norm(p) / norm(u)
        p -= group["lr"] * ratio * u
