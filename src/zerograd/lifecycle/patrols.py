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
from zerograd.lifecycle.ownership import param_at, place_of

FIRST, LATER, LONGER = 8, 4, 64
"""How many steps are watched closely, at the beginning and at each later patrol; twice as many each time that something
was odd, up to the last number: what is wrong now and then only has to be seen twice."""
BETWEEN = 512
"""After how many steps a patrol goes out without a reason."""
FIRST_OF_PROGRAMS, BETWEEN_OF_PROGRAMS = 128, 256
"""The same for programs that are guarded as a whole: short ones are watched closely from beginning to end."""
LONGEST = 4096
EAGER, SOON, SELDOM = 120, 8, 32
"""So many steps of the first sentinel are looked at one by one, then one of 8, and the longer all is well the fewer."""


class Sentinel:
    """Stands at one parameter while nobody looks closely, and sees what is odd. A step costs next to nothing.

    A backward that writes onto a gradient makes its version one higher, and onto none a new gradient with version 0. So
    the version after a step, less how often backward has come since the step before, is the same number in every right
    cycle: clipping or unscaling in place adds what it always adds. It is another one if the gradient was not cleared
    since the step before, or was cleared between two backward passes. After a while it is looked at in one cycle of
    many, and in the next one too if backward has not come as often as usual in those between.

    optimizer: the one whose steps are meant. parameter: one of its own, or None to see nothing; no reference to it is
    kept. eager: so many steps are looked at one by one. deaf: for so many steps what is odd does not count. wake:
    called after the step at which it does, at the latest after ``between`` steps, with their number, and soon after
    parameters have been added in a group. seat: the place of the hook that calls ``stepped`` after each step.
    """

    __slots__ = ("_handle", "_key", "_place", "stepped", "taken")

    taken: Callable[[Any], int]
    """Gives how many steps of the optimizer there were."""

    def __init__(
        self, optimizer: Any, parameter: Any, eager: int, deaf: int, between: int, wake: Callable[[int], None],
        seat: Seat,
    ) -> None:  # fmt: skip
        arrivals = itertools.repeat(None, sys.maxsize)
        left = arrivals.__length_hint__
        groups, key = len(optimizer.param_groups), id(parameter)
        group, at = (0, 0) if parameter is None else place_of(parameter, optimizer)
        rests = seat.rests
        steps, seen, due, every, resting, often, last = 0, 0, 1, SOON, 0, 0, left()
        usual: int | None = None

        def stepped(optimizer: Any, *_: Any) -> None:  # one function for all, because each one more costs as much again
            nonlocal steps, seen, due, every, resting, often, last, usual
            steps += 1
            if resting:
                steps += resting - optimizer._rest  # which is not 0 if there is another hook
                resting = optimizer._rest = 0
            if steps < due:
                return
            now = left()
            came, passed, seen, last = last - now, steps - seen, steps, now
            clear = passed == 1 or came == passed * often
            odd = False
            if parameter_is_known:
                try:
                    p = optimizer.param_groups[group]["params"][at]
                except IndexError:
                    p = None
                g = p.grad if id(p) == key else None
                if g is None or came < passed:
                    odd = True
                elif clear:
                    often = came // passed
                    before, usual = usual, g._version - often
                    odd = before is not None and before != usual
            due = steps + 1
            if steps >= between or len(optimizer.param_groups) != groups or (odd and steps > deaf):
                wake(steps)
            elif clear and steps >= eager:
                due, every = min(steps + every, max(due, between)), min(every + 1, SELDOM)
                if rests:
                    resting = optimizer._rest = due - steps - 1

        def taken(optimizer: Any) -> int:
            return steps + (resting - optimizer._rest if resting else 0)

        self.stepped, self.taken = stepped, taken
        self._place, self._key = (group, at), key
        self._handle: Any = None
        parameter_is_known = parameter is not None
        if parameter is not None:  # what backward calls is no Python function, because those cost more
            self._handle = parameter.register_post_accumulate_grad_hook(functools.partial(next, arrivals))

    def leave(self, optimizer: Any) -> None:
        """Take the hook off. optimizer: as before, or None if it is gone."""
        if self._handle is not None:
            self._handle.remove()
            p = None if optimizer is None else param_at(self._place, optimizer)
            if id(p) == self._key:
                tidied(p)


class Patrol:
    """How long a watch is to be armed, and who stands there in between.

    first: how many steps are watched closely at the beginning; between: after how many the next patrol goes out. calm:
    whether those who watch other optimizers of the program would leave too; what one throws away another may have used.
    rouse: to be called when the sentinel has woken its watch, so that the others look closely again as well.
    """

    def __init__(
        self, first: int = FIRST, between: int = BETWEEN, calm: Callable[[], bool] = lambda: True,
        rouse: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._ends, self._between, self._calm, self.rouse = first, between, calm, rouse
        self._eager, self._deafness, self._length = EAGER, LATER, LATER
        self._sentinel: Sentinel | None = None

    def taken(self, optimizer: Any) -> int:
        """How many steps nobody has looked at closely since the watch was disarmed."""
        return 0 if self._sentinel is None else self._sentinel.taken(optimizer)

    def is_over(self, steps: int, calm: bool) -> bool:
        """After a step that was watched closely: whether a sentinel will do again."""
        return self.is_ready(steps, calm) and self._calm()

    def is_ready(self, steps: int, calm: bool) -> bool:
        """Whether a sentinel will do as far as this one watch knows, or does already."""
        return self._sentinel is not None or (calm and steps >= self._ends)

    def leave(
        self, steps: int, lives: list[Life], optimizer: Any, wake: Callable[[int], None], seat: Seat
    ) -> Callable[..., None]:
        """The watch over an optimizer has been disarmed after this step; these were the lives of its parameters.

        Gives what is to be called after each step from now on, from that seat, until it has called ``wake``.
        """
        used = (life.parameter for life in lives if life.natural and life.step == steps)
        seen = next((p for p in used if p is not None and p.requires_grad and p.is_leaf), None)
        self._sentinel = Sentinel(optimizer, seen, self._eager, self._deafness, self._between, wake, seat)
        self._eager = 0
        self._deafness = min(2 * self._deafness, LONGEST)
        return self._sentinel.stepped

    def prolong(self, steps: int) -> None:
        """Parameters have come at this step: they are to be watched closely for some time too."""
        self._ends = max(self._ends, steps + LATER)

    def come_back(self, steps: int, optimizer: Any, after: int | None = None) -> None:
        """The sentinel has called, ``after`` so many steps, or the watch ends. optimizer: None if it is gone."""
        sentinel, self._sentinel = self._sentinel, None
        if after is not None and after < self._between:
            self._length, self._eager = min(2 * self._length, LONGER), EAGER
        self._ends = steps + self._length
        if sentinel is not None:
            sentinel.leave(optimizer)
