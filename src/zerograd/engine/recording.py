"""Modes that see every operation (FakeTensorMode, make_fx, counters): a step under one goes through torch.

A kernel writes by addresses, which no mode sees: a graph would lack the update, a counter would count nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import torch
from torch.utils._python_dispatch import _disable_current_modes

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_count_modes: Callable[[], int] = torch._C._len_torch_dispatch_stack


def is_watched() -> bool:
    """Whether some mode wants to see the operations on tensors."""
    return bool(_count_modes())


def unrecorded(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function of numbers that are kept in tensors: no mode sees it, and what it makes are real tensors."""

    @functools.wraps(function)
    def wrapper(*args: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        if not _count_modes():
            return function(*args, **keywords)
        with _disable_current_modes():
            return function(*args, **keywords)

    return wrapper


def check_countless(optimizer: RuleOptimizer) -> None:
    """RuntimeError where a graph is recorded of a step that reads or counts numbers: it would repeat those of now."""
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.PROXY) is not None:
        name = type(optimizer).__name__
        raise RuntimeError(
            f"{name}.step() can't be recorded by make_fx: it counts its steps, and the graph would repeat the numbers "
            f"of this one. Record torch.optim's class with capturable=True, or keep the step outside of the graph"
        )
