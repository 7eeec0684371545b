"""The loop that every oracle shares: groups, gradients, per-parameter state and step counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

Group = dict[str, Any]
State = dict[str, Any]


class Reference:
    """An optimizer in float64, one parameter at a time, without any cleverness.

    `groups` is an iterable of tensors or of group dicts, as in torch.optim; a key of a group wins over a
    keyword of the constructor, which wins over the class's default. Parameters are updated in place.
    """

    hyper: ClassVar[dict[str, Any]] = {}

    def __init__(self, groups: Iterable[Tensor] | Iterable[Group], **defaults: Any) -> None:
        unknown = set(defaults) - set(self.hyper) - {"maximize"}
        if unknown:
            raise TypeError(f"{type(self).__name__} has no hyper-parameter {sorted(unknown)}")
        entries = list(groups)
        dicts = [e for e in entries if isinstance(e, dict)] or [{"params": entries}]
        self.defaults: dict[str, Any] = {"maximize": False, **self.hyper, **defaults}
        self.param_groups: list[Group] = [
            {**self.defaults, **group, "params": list(group["params"])} for group in dicts
        ]
        self.state: dict[Tensor, State] = {}
        if any(p.dtype != torch.float64 for group in self.param_groups for p in group["params"]):
            raise TypeError("an oracle takes float64 parameters only")

    def begin(self, p: Tensor) -> State:
        """The named state of a parameter before its first step."""
        raise NotImplementedError

    def update(self, p: Tensor, g: Tensor, state: State, group: Group) -> None:
        """One step of one parameter; `state["step"]` is already the number t = 1, 2, ... of this step."""
        raise NotImplementedError

    def gradients(self, group: Group) -> Iterator[tuple[Tensor, Tensor, State]]:
        """Every parameter of the group that has a gradient, with that gradient and the parameter's state."""
        for p in group["params"]:
            if p.grad is None:
                continue
            g = -p.grad if group["maximize"] else p.grad.clone()
            if p not in self.state:
                self.state[p] = {"step": 0, **self.begin(p)}
            yield p, g, self.state[p]

    @torch.no_grad()
    def step(self) -> None:
        """One step of all parameters that have a gradient."""
        for group in self.param_groups:
            for p, g, state in self.gradients(group):
                state["step"] += 1
                self.update(p, g, state, group)


def lerp(start: Tensor, end: Tensor, weight: float) -> Tensor:
    """The point that lies `weight` of the way from start to end."""
    return (1 - weight) * start + weight * end


def norm(x: Tensor) -> float:
    """The Euclidean norm of all elements of a tensor."""
    return float((x * x).sum().sqrt())
