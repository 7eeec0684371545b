"""Lookahead (arXiv 1907.08610) over Adam: k steps forward, one step back."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .adam import Adam
from .base import Group, State, lerp


class LookaheadAdam(Adam):
    """Every `every` steps of a parameter its slow copy goes `alpha` of the way and the parameter joins it."""

    hyper: ClassVar[dict[str, Any]] = {**Adam.hyper, "every": 5, "alpha": 0.5}

    def begin(self, p: Tensor) -> State:
        return {**super().begin(p), "slow": p.detach().clone()}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        super().update(p, g, state, group)
        if state["step"] % group["every"] == 0:
            state["slow"] = lerp(state["slow"], p, group["alpha"])
            p.copy_(state["slow"])
