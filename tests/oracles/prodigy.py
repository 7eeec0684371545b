"""Prodigy (arXiv 2306.06101): Adam that estimates the distance d to the solution and uses it as step size."""

from __future__ import annotations

from math import inf, sqrt
from typing import Any, ClassVar

import torch
from torch import Tensor

from .base import Reference, State


class Prodigy(Reference):
    """One d for all groups; d, d_max, d_numerator and k stand, equal, in every group.

    d0, d_coef, growth_rate, beta3 and use_bias_correction are read from the first group, the rest from each.
    The step length dlr uses the d of before this step; eps is scaled with the d of after it. As long as every
    gradient (or lr) has been zero, so that the denominator of the estimate is, no parameter moves or decays.
    """

    hyper: ClassVar[dict[str, Any]] = {
        "lr": 1.0,
        "betas": (0.9, 0.999),
        "beta3": None,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "d0": 1e-6,
        "d_coef": 1.0,
        "growth_rate": inf,
        "use_bias_correction": False,
        "safeguard_warmup": False,
    }

    def __init__(self, groups: Any, **defaults: Any) -> None:
        super().__init__(groups, **defaults)
        d0 = self.param_groups[0]["d0"]
        for group in self.param_groups:
            group.update(d=d0, d_max=d0, d_numerator=0.0, k=0)

    def begin(self, p: Tensor) -> State:
        zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq", "s")}
        return {**zeros, "p0": p.detach().clone()}

    @torch.no_grad()
    def step(self) -> None:
        first = self.param_groups[0]
        d, d0 = first["d"], first["d0"]
        beta3 = sqrt(first["betas"][1]) if first["beta3"] is None else first["beta3"]
        present = [(group, *item) for group in self.param_groups for item in self.gradients(group)]
        k = first["k"] + (1 if present else 0)

        step_sizes = []
        numerator = beta3 * first["d_numerator"]
        denominator = 0.0
        for group, p, g, state in present:
            state["step"] += 1
            beta1, beta2 = group["betas"]
            dlr = d * group["lr"]
            if first["use_bias_correction"]:
                dlr *= sqrt(1 - beta2**k) / (1 - beta1**k)
            step_sizes.append(dlr)
            numerator += d / d0 * dlr * float((g * (state["p0"] - p)).sum())
            state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * d * g
            state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * (d * g) ** 2
            state["s"] = beta3 * state["s"] + d / d0 * (d if group["safeguard_warmup"] else dlr) * g
            denominator += float(state["s"].abs().sum())
        for group in self.param_groups:
            group.update(k=k)
        if denominator == 0:
            return

        d_hat = first["d_coef"] * numerator / denominator
        if d == d0:
            d = max(d, d_hat)
        d_max = max(first["d_max"], d_hat)
        d = min(d_max, d * first["growth_rate"])
        for group in self.param_groups:
            group.update(d=d, d_max=d_max, d_numerator=numerator)

        for (group, p, _, state), dlr in zip(present, step_sizes, strict=True):
            p *= 1 - dlr * group["weight_decay"]
            p -= dlr * state["exp_avg"] / (state["exp_avg_sq"].sqrt() + d * group["eps"])
