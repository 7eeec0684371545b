"""StableAdamW (arXiv 2304.13013): AdamW with Adafactor's update clipping, per tensor."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .adam import Adam
from .base import Group, State


def debiased(beta: float, t: int) -> float:
    """The beta with which an average that starts at zero is, at every step, its own bias-corrected value."""
    return beta * (1 - beta ** (t - 1)) / (1 - beta**t)


class StableAdamW(Adam):
    """Both the decay and the update use lr / max(1, RMS of g / sqrt(v))."""

    hyper: ClassVar[dict[str, Any]] = {"lr": 1e-3, "betas": (0.9, 0.99), "eps": 1e-6, "weight_decay": 1e-2}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        eps = group["eps"]
        beta1, beta2 = (debiased(beta, state["step"]) for beta in group["betas"])
        state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * g
        state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g**2
        m, v = state["exp_avg"], state["exp_avg_sq"]
        rms = float((g**2 / v.clamp(min=eps**2)).mean().sqrt())
        lr = group["lr"] / max(1.0, rms)
        p -= lr * group["weight_decay"] * p + lr * m / (v.sqrt() + eps)
