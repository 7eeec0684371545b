"""Hooks on a step that need none of the preparations that torch makes for hooks and profilers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks


class Light:
    """A hook on steps. An optimizer whose hooks are all of this kind may call them without a profiler's range."""

    __slots__ = ("hook",)

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook
        """What is called; another may take its place."""

    def __call__(self, optimizer: Any, args: Any, keywords: Any) -> Any:
        """What the hook returns."""
        return self.hook(optimizer, args, keywords)


def all_hooks(optimizer: Any) -> tuple[Any, ...]:
    """The dictionaries of hooks in torch's order: before the step and after it, the global ones first and last."""
    return (
        _global_optimizer_pre_hooks,
        optimizer._optimizer_step_pre_hooks,
        optimizer._optimizer_step_post_hooks,
        _global_optimizer_post_hooks,
    )


def are_light(optimizer: Any) -> bool:
    """Whether all hooks are the guard's, which need no profiler range round the step."""
    return all(type(hook) is Light for hooks in all_hooks(optimizer) for hook in hooks.values())
