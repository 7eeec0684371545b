"""Hooks on a step that need none of the preparations that torch makes for hooks and profilers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Light:
    """A hook on steps. An optimizer whose hooks are all of this kind may call them without a profiler's range."""

    __slots__ = ("hook",)

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook
        """What is called; another may take its place."""

    def __call__(self, optimizer: Any, args: Any, keywords: Any) -> Any:
        """What the hook returns."""
        return self.hook(optimizer, args, keywords)
