"""What an optimizer owns: its parameters, their gradients, and the optimizer inside a wrapper round one."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

PLACE = "parameter {} of group {}"


def owned(optimizer: Any) -> Iterator[Tensor]:
    """Every parameter of every group."""
    for group in optimizer.param_groups:
        yield from group["params"]


def place_of(parameter: Tensor, optimizer: Any) -> tuple[int, int]:
    """The number of a parameter's group, and its own in that group."""
    return next(
        (group, at)
        for group, owner in enumerate(optimizer.param_groups)
        for at, p in enumerate(owner["params"])
        if p is parameter
    )


def param_at(place: tuple[int, int], optimizer: Any) -> Any:
    """The parameter that is in that place now, or None if there is none."""
    group, at = place
    params = optimizer.param_groups[group]["params"] if group < len(optimizer.param_groups) else ()
    return params[at] if at < len(params) else None


def owners_of(ids: set[int]) -> list[str]:
    """The kinds of all optimizers that own any of the parameters with these ids."""
    found = (x for x in gc.get_objects() if issubclass(type(x), Optimizer) and hasattr(x, "param_groups"))
    return sorted({type(x).__name__ for x in found if not ids.isdisjoint(map(id, owned(x)))})


def names_of(optimizer: Any, model: Any = None) -> dict[int, str]:
    """What people call each parameter, by its id: the model's name, the group's, or its place."""
    return named_by({id(p): name for name, p in model.named_parameters()} if model is not None else {}, optimizer)


def named_by(known: Mapping[int, str], optimizer: Any) -> dict[int, str]:
    """The name of each parameter by its id: the known one, the group's, or its place."""
    names: dict[int, str] = {}
    for index, group in enumerate(optimizer.param_groups):
        given = group.get("param_names", [])
        for at, p in enumerate(group["params"]):
            names[id(p)] = known.get(id(p), given[at] if at < len(given) else PLACE.format(at, index))
    return names


def is_place(name: str) -> bool:
    """Whether this is no name, but a place in an optimizer."""
    return name.startswith(PLACE.partition("{")[0])


def innermost(optimizer: Any) -> Any:
    """The optimizer that takes the steps, below wrappers that keep theirs as ``optimizer`` (Accelerate, Lightning)."""
    inner = getattr(optimizer, "optimizer", None)
    seen = {id(optimizer)}
    while isinstance(inner, Optimizer) and id(inner) not in seen:
        optimizer = inner
        seen.add(id(inner))
        inner = getattr(optimizer, "optimizer", None)
    return optimizer
