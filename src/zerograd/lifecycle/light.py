"""Hooks on a step that need none of the preparations that torch makes for hooks and profilers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Light:
    """A hook on steps. An optimizer whose hooks are all of this kind may call them without a profiler's range."""

    __slots__ = ("_hook",)

    def __init__(self, hook: Callable[..., Any]) -> None:
        self._hook = hook

    def __call__(self, *arguments: Any) -> Any:
        """What the hook returns."""
        return self._hook(*arguments)
