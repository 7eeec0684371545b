"""Exponential moving average of the parameters, over AdamW."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .adam import AdamW
from .base import Group, State, lerp


class EMAAdamW(AdamW):
    """The average starts as a copy of the parameter before its first step and never changes the parameter."""

    hyper: ClassVar[dict[str, Any]] = {**AdamW.hyper, "ema_decay": 0.999}

    def begin(self, p: Tensor) -> State:
        return {**super().begin(p), "average": p.detach().clone()}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        super().update(p, g, state, group)
        state["average"] = lerp(state["average"], p, 1 - group["ema_decay"])
