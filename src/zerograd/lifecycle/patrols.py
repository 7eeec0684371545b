"""Patrols: when a watch looks at every backward, and when a sentinel on one parameter will do.

A program that is wrong is mostly so from its first step on. So the first cycles are watched closely. After that one
parameter stands for all: a hook tells when a backward is about to write to its gradient, and that with the steps tells
the four mistakes apart from the right cycle, without a look at any number. What it finds odd is a reason to look
closely for some cycles. Where that turns out to be the program's way, such as zeros written in place or another
network's gradients, the next such reason counts only later, and later.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from zerograd.lifecycle.lives import Life, tidied

FIRST, LATER = 8, 4
"""How many steps are watched closely, at the beginning and at each later patrol."""
BETWEEN = 512
"""After how many steps a patrol goes out without a reason."""
FIRST_OF_PROGRAMS, BETWEEN_OF_PROGRAMS = 128, 256
"""The same for programs that are guarded as a whole: short ones are watched closely from beginning to end."""
LONGEST = 4096
GROUPS_EVERY = 32
"""After how many steps a sentinel looks whether there are more groups than there were."""


class Sentinel:
    """Stands at one parameter while nobody looks closely, and sees what is odd. A step costs one short call.

    A backward that writes onto a gradient makes its version one higher, and onto none a new gradient with version 0. So
    the version after a step, less how often backward has come since the step before, is the same number in every right
    cycle: clipping or unscaling in place adds what it always adds. It is another one if the gradient was not cleared
    since the step before, or was cleared between two backward passes.

    parameter: any, or None to see nothing. deaf: for so many steps what is odd does not count. wake: called after the
    step at which it does, at the latest after ``between`` steps, with their number, and soon after parameters have been
    added in a group, of which there were so many. stepped: to be called after each step. taken: gives how many steps
    there were.
    """

    __slots__ = ("_handle", "_ref", "stepped", "taken")

    taken: Callable[[], int]

    def __init__(self, parameter: Any, deaf: int, between: int, groups: int, wake: Callable[[int], None]) -> None:
        arrived: list[Any] = []
        usual: int | None = None
        steps, due = 0, min(GROUPS_EVERY, between)
        blind = parameter is None

        def stepped(optimizer: Any, *_: Any) -> None:
            nonlocal steps, due, usual
            steps += 1
            g = arrived[0].grad if arrived else None
            number = None if g is None else g._version - len(arrived)
            arrived.clear()
            if number is not None and number == usual and steps < due:
                return
            odd = number is None or (usual is not None and number != usual)
            if number is not None:
                usual = number
            over = False
            if steps >= due:
                due = min(due + GROUPS_EVERY, between)
                over = steps >= between or len(optimizer.param_groups) != groups
            if over or (odd and steps > deaf and not blind):
                wake(steps)

        self.stepped, self.taken = stepped, lambda: steps
        self._ref: Any = None if blind else weakref.ref(parameter)
        # What is called is no Python function, because a step is short and every one of those begins with cold caches.
        self._handle: Any = None if blind else parameter.register_post_accumulate_grad_hook(arrived.append)

    def leave(self) -> None:
        """Take the hook off."""
        if self._handle is not None:
            self._handle.remove()
            p = self._ref()
            if p is not None:
                tidied(p)


class Patrol:
    """How long a watch is to be armed, and who stands there in between.

    first: how many steps are watched closely at the beginning; between: after how many the next patrol goes out. alone:
    whether there is no other watch, whose judgement of a backward needs to know who else has used it.
    """

    def __init__(self, first: int = FIRST, between: int = BETWEEN, alone: Callable[[], bool] = lambda: True) -> None:
        self._ends, self._between, self._alone = first, between, alone
        self._deafness = LATER
        self._sentinel: Sentinel | None = None

    @property
    def taken(self) -> int:
        """How many steps nobody has looked at closely since the watch was disarmed."""
        return 0 if self._sentinel is None else self._sentinel.taken()

    def is_over(self, steps: int, calm: bool) -> bool:
        """After a step that was watched closely: whether a sentinel will do again."""
        return calm and steps >= self._ends and self._alone()

    def leave(self, steps: int, lives: list[Life], groups: int, wake: Callable[[int], None]) -> Callable[..., None]:
        """The watch has been disarmed after this step; these were the lives of its parameters, in so many groups.

        Gives what is to be called after each step from now on, until it has called ``wake``.
        """
        used = (life.parameter for life in lives if life.natural and life.step == steps)
        seen = next((p for p in used if p is not None and p.requires_grad and p.is_leaf), None)
        self._sentinel = Sentinel(seen, self._deafness, self._between, groups, wake)
        self._deafness = min(2 * self._deafness, LONGEST)
        return self._sentinel.stepped

    def come_back(self, steps: int) -> None:
        """The sentinel has called, or the watch ends."""
        self._ends = steps + LATER
        sentinel, self._sentinel = self._sentinel, None
        if sentinel is not None:
            sentinel.leave()
