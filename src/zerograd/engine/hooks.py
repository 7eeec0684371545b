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
from zerograd.lifecycle.light import all_hooks, are_light


def hooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with torch's hooks; applied once to every class that defines a step."""
    watched = torch.optim.Optimizer.profile_hook_step(step)

    @functools.wraps(step)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
        after = self._optimizer_step_post_hooks
        if not (
            _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or self._optimizer_step_pre_hooks
            or profiler._is_profiler_enabled
        ):
            if not after:
                return step(self, *args, **kwargs)
            if (left := self._rest) and len(after) == 1:
                self._rest = left - 1
                return step(self, *args, **kwargs)
            only = self._light
            if only is not None and len(after) == 1 and type(self).step is wrapper:
                self._hooks_fire = True
                try:
                    out = step(self, *args, **kwargs)
                finally:
                    self._hooks_fire = False
                only.hook(self)
                return out
        if self.__dict__.get("_hooks_fire"):  # called by a subclass's step through super(): one step, not two
            return step(self, *args, **kwargs)
        self._hooks_fire = True
        try:
            light = not profiler._is_profiler_enabled and are_light(self)
            return _with_light_hooks(step, self, args, kwargs) if light else watched(self, *args, **kwargs)
        finally:
            self._hooks_fire = False

    wrapper = untraced(wrapper)
    wrapper.hooked = True  # type: ignore[attr-defined]  # torch leaves a step with this mark alone
    return wrapper


def unhooked(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` without the wrapper that torch puts round it when the first optimizer of its class is made."""
    while getattr(step, "hooked", False):
        step = step.__wrapped__  # type: ignore[attr-defined]
    return step


def _with_light_hooks(step: Callable[..., Any], optimizer: Any, args: Any, kwargs: Any) -> Any:
    before_all, before, after, after_all = all_hooks(optimizer)
    args = (optimizer, *args)  # as torch hands them to its hooks
    for hook in (*before_all.values(), *before.values()):
        changed = hook(optimizer, args, kwargs)
        if changed is not None:
            args, kwargs = changed
    out = step(*args, **kwargs)
    for hook in (*after.values(), *after_all.values()):
        hook(optimizer, args, kwargs)
    return out
