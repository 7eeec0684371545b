"""MARS (arXiv 2411.10438, approximate version) over AdamW: the gradient is corrected by its own change."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .adam import AdamW
from .base import Group, State, norm


class MARSAdamW(AdamW):
    """Every tensor is corrected, whatever its shape; the correction of the first step is zero."""

    hyper: ClassVar[dict[str, Any]] = {**AdamW.hyper, "gamma": 0.025}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        beta1 = group["betas"][0]
        previous = g if state["step"] == 1 else state["previous_grad"]
        c = g + group["gamma"] * beta1 / (1 - beta1) * (g - previous)
        c = c / max(1.0, norm(c))
        super().update(p, c, state, group)
        state["previous_grad"] = g
