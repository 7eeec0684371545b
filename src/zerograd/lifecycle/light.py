"""Hooks on a step that need none of the preparations that torch makes for hooks and profilers."""

from __future__ import annotations

import weakref
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
    """A light hook's place among those after an optimizer's steps, from which it can rise for a number of steps.

    zerograd's optimizers count these by themselves. That costs less than any call, as a step is short and all that is
    called begins with cold caches. For others a hook stays where it is.
    """

    def __init__(self, optimizer: Any, light: Light) -> None:
        self._light = light
        self._handle = optimizer.register_step_post_hook(light)
        self._rests = False
        self._counts = hasattr(type(optimizer), "_rest")
        if self._counts:
            optimizer._light = light  # a step looks here first

    def rest(self, optimizer: Any, steps: int, then: Callable[[], None]) -> None:
        """Let the hook see nothing before so many steps, if that can be and nobody else has one; ``then`` comes first.

        With another hook there it would matter which one is called first.
        """
        hooks = optimizer._optimizer_step_post_hooks
        if steps > 1 and self._counts and optimizer._light is self._light and len(hooks) == 1 and steps_once(optimizer):
            held = weakref.ref(optimizer)

            def rested() -> None:
                self.come_back(held())
                then()

            del hooks[self._handle.id]
            self._rests, optimizer._rested, optimizer._rest = True, rested, steps

    def left(self, optimizer: Any) -> int:
        """For how many steps the hook still rests."""
        return optimizer._rest if self._rests else 0

    def come_back(self, optimizer: Any) -> None:
        """Sit down again, before those that came in the meantime."""
        if self._rests:
            self._rests, optimizer._rest = False, 0
            hooks = optimizer._optimizer_step_post_hooks
            hooks[self._handle.id] = self._light
            hooks.move_to_end(self._handle.id, last=False)

    def remove(self, optimizer: Any) -> None:
        """Go for good. optimizer: None if it is gone."""
        if optimizer is not None:
            self.come_back(optimizer)
            if self._counts and optimizer._light is self._light:
                optimizer._light = None
        self._handle.remove()


def steps_once(optimizer: Any) -> bool:
    """Whether no step calls another class's, so that steps are counted once."""
    return sum(hasattr(cls.__dict__.get("step"), "hooked") for cls in type(optimizer).__mro__) == 1


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
