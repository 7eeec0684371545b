"""Patrols: when a watch looks at every backward, and when a sentinel on one parameter will do.

A program that is wrong is mostly so from its first step on. So the first cycles are watched closely. After that one
parameter stands for all: a hook tells when a backward is about to write to its gradient, and that with the steps tells
the four mistakes apart from the right cycle, without a look at any number. What it finds odd is a reason to look
closely for some cycles. Where that turns out to be the program's way, such as zeros written in place or another
network's gradients, the next such reason counts only later, and later.
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from typing import Any

from zerograd.lifecycle.light import Seat
from zerograd.lifecycle.lives import Life, tidied
from zerograd.lifecycle.ownership import place_of

FIRST, LATER = 8, 4
"""How many steps are watched closely, at the beginning and at each later patrol."""
BETWEEN = 512
"""After how many steps a patrol goes out without a reason."""
FIRST_OF_PROGRAMS, BETWEEN_OF_PROGRAMS = 128, 256
"""The same for programs that are guarded as a whole: short ones are watched closely from beginning to end."""
LONGEST = 4096
EAGER, EVERY = 64, 4
"""So many steps of a sentinel are looked at one by one, and later one of so many."""


class Sentinel:
    """Stands at one parameter while nobody looks closely, and sees what is odd. A step costs next to nothing.

    A backward that writes onto a gradient makes its version one higher, and onto none a new gradient with version 0. So
    the version after a step, less how often backward has come since the step before, is the same number in every right
    cycle: clipping or unscaling in place adds what it always adds. It is another one if the gradient was not cleared
    since the step before, or was cleared between two backward passes. After a while it is looked at in one cycle of
    four, and in the next one too if backward has not come as often as usual in those between.

    optimizer: the one whose steps are meant. parameter: one of its own, or None to see nothing; no reference to it is
    kept. deaf: for so many steps what is odd does not count. wake: called after the step at which it does, at the
    latest after ``between`` steps, with their number, and soon after parameters have been added in a group. seat: the
    place of the hook that calls ``stepped`` after each step.
    """

    __slots__ = ("_handle", "_parameter", "stepped", "taken")

    taken: Callable[[Any], int]
    """Gives how many steps of the optimizer there were."""

    def __init__(
        self, optimizer: Any, parameter: Any, deaf: int, between: int, wake: Callable[[int], None], seat: Seat
    ) -> None:
        # What backward calls is no Python function, because those cost more.
        arrivals = itertools.repeat(None, sys.maxsize)
        left = arrivals.__length_hint__
        steps, seen, due, often, last = 0, 0, 1, 0, left()
        groups = len(optimizer.param_groups)
        usual: int | None = None
        self._parameter = found = None if parameter is None else place_of(parameter, optimizer)

        def stepped(optimizer: Any, *_: Any) -> None:
            nonlocal steps
            steps += 1
            if steps >= due:
                look(optimizer)

        def look(optimizer: Any) -> None:
            nonlocal seen, due, last
            now = left()
            came, passed = last - now, steps - seen
            seen, last = steps, now
            clear = passed == 1 or came == passed * often
            rests = clear and steps >= EAGER
            due = min(steps + (EVERY if rests else 1), max(between, steps + 1))
            odd = found is not None and is_odd(found(optimizer), came, passed, clear)
            if steps >= between or len(optimizer.param_groups) != groups or (odd and steps > deaf):
                wake(steps)
            elif rests:
                seat.rest(optimizer, due - steps, roused)

        def is_odd(p: Any, came: int, passed: int, clear: bool) -> bool:
            """Whether backward that came so often before so many steps is odd, by what it has left in the last one."""
            nonlocal usual, often
            g = None if p is None else p.grad
            if g is None or came < passed:
                return True
            if not clear:
                return False
            often = came // passed
            before, usual = usual, g._version - often
            return before is not None and before != usual

        def roused() -> None:
            nonlocal steps
            steps = due - 1

        def taken(optimizer: Any) -> int:
            return due - resting if (resting := seat.left(optimizer)) else steps

        self.stepped, self.taken = stepped, taken
        self._handle: Any = None
        if parameter is not None:
            self._handle = parameter.register_post_accumulate_grad_hook(functools.partial(next, arrivals))

    def leave(self, optimizer: Any) -> None:
        """Take the hook off. optimizer: as before, or None if it is gone."""
        if self._handle is not None:
            self._handle.remove()
            p = None if optimizer is None else self._parameter(optimizer)
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

    def taken(self, optimizer: Any) -> int:
        """How many steps nobody has looked at closely since the watch was disarmed."""
        return 0 if self._sentinel is None else self._sentinel.taken(optimizer)

    def is_over(self, steps: int, calm: bool) -> bool:
        """After a step that was watched closely: whether a sentinel will do again."""
        return calm and steps >= self._ends and self._alone()

    def leave(
        self, steps: int, lives: list[Life], optimizer: Any, wake: Callable[[int], None], seat: Seat
    ) -> Callable[..., None]:
        """The watch over an optimizer has been disarmed after this step; these were the lives of its parameters.

        Gives what is to be called after each step from now on, from that seat, until it has called ``wake``.
        """
        used = (life.parameter for life in lives if life.natural and life.step == steps)
        seen = next((p for p in used if p is not None and p.requires_grad and p.is_leaf), None)
        self._sentinel = Sentinel(optimizer, seen, self._deafness, self._between, wake, seat)
        self._deafness = min(2 * self._deafness, LONGEST)
        return self._sentinel.stepped

    def come_back(self, steps: int, optimizer: Any) -> None:
        """The sentinel has called, or the watch ends. optimizer: None if it is gone."""
        self._ends = steps + LATER
        sentinel, self._sentinel = self._sentinel, None
        if sentinel is not None:
            sentinel.leave(optimizer)
