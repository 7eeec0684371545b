"""The wrapper round ``step``: torch's hooks and profiler when someone uses them, nothing when nobody does.

torch wraps the step of every optimizer in a profiler range, which costs several microseconds a step. Here that path
is taken only when a hook is registered or a profiler runs; it is torch's own wrapper, so both see what they expect.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import profiler
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from zerograd.engine.dynamo import untraced


def hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with torch's hooks; applied once to every class that defines a step."""
    watched = torch.optim.Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (
            _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or profiler._is_profiler_enabled
        ) and not self.__dict__.get("_hooks_fire"):
            self._hooks_fire = True  # a subclass's step that calls this one through super() is one step, not two
            try:
                return watched(self, *args, **kwargs)
            finally:
                self._hooks_fire = False
        return step(self, *args, **kwargs)

    wrapper = untraced(wrapper)
    wrapper.hooked = True  # type: ignore[attr-defined]  # torch leaves a step with this mark alone
    return wrapper


def unhooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` without the wrapper that torch puts round it when the first optimizer of its class is made."""
    while getattr(step, "hooked", False):
        step = step.__wrapped__  # type: ignore[attr-defined]
    return step
