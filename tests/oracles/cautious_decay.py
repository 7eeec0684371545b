"""Cautious weight decay (arXiv 2510.12402) over Adam: decay only where the update shrinks the element too."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from .adam import Adam, adam_direction
from .base import Group, State


class CautiousDecayAdam(Adam):
    """The decay enters the direction u, after Adam, where u * p > 0."""

    hyper: ClassVar[dict[str, Any]] = {**Adam.hyper, "weight_decay": 1e-2}

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        u = adam_direction(g, state, group)
        agrees = (u * p > 0).double()
        p -= group["lr"] * (u + group["weight_decay"] * agrees * p)
