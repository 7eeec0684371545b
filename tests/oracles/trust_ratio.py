"""The trust ratio of LARS and LAMB over Adam: every tensor's direction gets the norm of the tensor."""

from __future__ import annotations

from torch import Tensor

from .adam import Adam, adam_direction
from .base import Group, State, norm


class TrustRatioAdam(Adam):
    """The ratio is 1 where the parameter or the direction is zero; weight_decay is Adam's coupled one."""

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        u = adam_direction(g + group["weight_decay"] * p, state, group)
        ratio = norm(p) / norm(u) if norm(p) > 0 and norm(u) > 0 else 1.0
        p -= group["lr"] * ratio * u
