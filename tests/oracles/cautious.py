"""Cautious AdamW (arXiv 2411.16085): elements whose direction disagrees with the gradient rest."""

from __future__ import annotations

from torch import Tensor

from .adam import AdamW, adam_direction
from .base import Group, State


class CautiousAdamW(AdamW):
    """The others grow by 1 / (share of agreeing elements of the tensor), at most 1000-fold."""

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        p *= 1 - group["lr"] * group["weight_decay"]
        u = adam_direction(g, state, group)
        mask = (u * g > 0).double()
        p -= group["lr"] * u * mask / max(float(mask.mean()), 1e-3)
