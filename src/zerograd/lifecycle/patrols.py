"""Patrols: when a watch looks at every backward, and when a sentinel on one parameter will do.

A program that is wrong is mostly so from its first step on. So the first cycles are watched closely. After that one
parameter stands for all: a hook tells when a backward is about to write to its gradient, and that with the steps tells
the four mistakes apart from the right cycle, without a look at any number. What it finds odd is a reason to look
closely for some cycles. Where that turns out to be the program's way, such as zeros written in place or another
network's gradients, the next such reason counts only later, and later.
"""

from __future__ import annotations

import weakref
from typing import Any

from zerograd.lifecycle.lives import Life

FIRST, LATER = 8, 4
"""How many steps are watched closely, at the beginning and at each later patrol."""
BETWEEN = 512
"""After how many steps a patrol goes out without a reason."""
LONGEST = 4096


class Sentinel:
    """Stands at one parameter while nobody looks closely, and sees what is odd."""

    __slots__ = ("_arrived", "_handle", "_odd", "_ref")

    def __init__(self, parameter: Any) -> None:
        self._ref = weakref.ref(parameter)
        self._arrived = self._odd = False

        def arriving(_: Any) -> None:
            p = self._ref()
            if p is not None and (p.grad is None) is self._arrived:
                self._odd = True  # what came since the step was thrown away, or what the step used is still there
            self._arrived = True

        arriving.__torch_unserializable__ = True  # type: ignore[attr-defined]  # so that saving does not warn
        self._handle = parameter.register_hook(arriving)

    def is_alarmed(self) -> bool:
        """After a step: whether something was odd, or the step found nothing new."""
        p = self._ref()
        odd = self._odd or not self._arrived or p is None or p.grad is None
        self._arrived = self._odd = False
        return odd

    def leave(self) -> None:
        """Take the hook off."""
        self._handle.remove()
        p = self._ref()
        if p is not None:
            p._backward_hooks = p._backward_hooks or None


class Patrol:
    """Whether a watch is to be armed, and for how long."""

    def __init__(self) -> None:
        self._ends = FIRST
        self._next = BETWEEN
        self._deaf_until = 0
        self._deafness = LATER
        self._sentinel: Sentinel | None = None

    def is_wanted(self, steps: int) -> bool:
        """After a step: whether to look closely from now on."""
        sentinel = self._sentinel
        alarmed = sentinel is not None and sentinel.is_alarmed()
        if not (alarmed and steps >= self._deaf_until) and steps < self._next:
            return False
        self.end()
        self._ends = steps + LATER
        return True

    def is_over(self, steps: int, calm: bool) -> bool:
        """After a step that was watched closely: whether a sentinel will do again."""
        return calm and steps >= self._ends

    def leave(self, steps: int, lives: list[Life]) -> None:
        """The watch will be disarmed after this step; these are the lives of its parameters."""
        used = (life.parameter for life in lives if life.natural and life.step == steps)
        seen = next((p for p in used if p is not None and p.requires_grad and p.is_leaf), None)
        self._sentinel = None if seen is None else Sentinel(seen)
        self._next = steps + BETWEEN
        self._deaf_until = steps + self._deafness
        self._deafness = min(2 * self._deafness, LONGEST)

    def end(self) -> None:
        """Call the sentinel back."""
        sentinel, self._sentinel = self._sentinel, None
        if sentinel is not None:
            sentinel.leave()
