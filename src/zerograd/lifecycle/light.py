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


class Seat:
    """A light hook's place among those after an optimizer's steps.

    rests: whether the optimizer can count ``_rest`` down, so many steps after which it need not call the hook, if there
    is no other. That costs less than any call, as a step is short and all that is called begins with cold caches.
    """

    def __init__(self, optimizer: Any, light: Light) -> None:
        owner = next((cls for cls in type(optimizer).__mro__ if "_rest" in cls.__dict__), None)
        # A step that calls its parent's would count twice.
        self.rests = owner is not None and getattr(type(optimizer), "step", None) is owner.__dict__["step"]
        self._light, self._handle = light, optimizer.register_step_post_hook(light)
        if owner is not None:
            optimizer._light = light  # a step looks here first

    def wake(self, optimizer: Any) -> None:
        """Rest no more."""
        if self.rests and optimizer is not None:
            optimizer._rest = 0

    def remove(self, optimizer: Any) -> None:
        """Take the hook off. optimizer: None if it is gone."""
        self._handle.remove()
        if getattr(optimizer, "_light", None) is self._light:
            self.wake(optimizer)
            optimizer._light = None


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
