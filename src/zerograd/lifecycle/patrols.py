"""Patrols: when a watch looks at every backward, and when a glance at a few stamps will do.

A program that is wrong is mostly so from its first step on. So the first cycles are watched closely. After that each
step costs a look at a few gradients, which reads no numbers: a gradient that was there at the step before was not set to
None in between, and is a reason to look closely for some cycles. So is a step that finds none. Where that turns out to
be the program's way, such as zeros written in place, the next such reason counts only later, and later.
"""

from __future__ import annotations

from typing import Any

FIRST, LATER = 8, 4
"""How many steps are watched closely, at the beginning and at each later patrol."""
BETWEEN = 512
"""After how many steps a patrol goes out without a reason."""
SEEN = 2
"""How many parameters a glance looks at."""
LONGEST = 4096
_MARK = "_zerograd_glanced"


class Patrol:
    """Whether a watch is to be armed, and for how long."""

    def __init__(self) -> None:
        self._ends = FIRST
        self._next = BETWEEN
        self._deaf_until = 0
        self._deafness = LATER
        self._seen: list[Any] = []

    def is_wanted(self, steps: int) -> bool:
        """After a step: whether to look closely from now on."""
        suspicious = nothing = True
        for p in self._seen:
            g = p.grad
            if g is None:
                continue
            nothing = False
            if hasattr(g, _MARK):
                break
            setattr(g, _MARK, True)
        else:
            suspicious = nothing
        if not (suspicious and steps >= self._deaf_until) and steps < self._next:
            return False
        self._ends = steps + LATER
        return True

    def is_over(self, steps: int, calm: bool) -> bool:
        """After a step that was watched closely: whether a glance will do again."""
        return calm and steps >= self._ends

    def leave(self, steps: int, params: list[Any]) -> None:
        """The watch is disarmed after a step; these are the parameters."""
        self._seen = params[:: max(1, len(params) // SEEN)][:SEEN]
        self._next = steps + BETWEEN
        self._deaf_until = steps + self._deafness
        self._deafness = min(2 * self._deafness, LONGEST)
