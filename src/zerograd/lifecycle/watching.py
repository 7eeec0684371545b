"""The watch over one optimizer: what its steps find, what its clears throw away, cycle after cycle."""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from zerograd.lifecycle import verdicts
from zerograd.lifecycle.findings import Finding
from zerograd.lifecycle.forwards import Forwards
from zerograd.lifecycle.judging import Judge
from zerograd.lifecycle.light import Light, Seat
from zerograd.lifecycle.lives import (
    BY_HAND,
    CONSUMED,
    EMPTY,
    FRESH,
    KEPT,
    LIVES,
    MIXED,
    PASSES,
    Life,
    Pass,
)
from zerograd.lifecycle.outsiders import OUTSIDERS
from zerograd.lifecycle.ownership import owned
from zerograd.lifecycle.patrols import Patrol
from zerograd.lifecycle.sites import Trail, trail
from zerograd.lifecycle.states import States
from zerograd.lifecycle.verdicts import Loss


class Watch:
    """Sees one optimizer through hooks on its step, its zero_grad and its parameters.

    say: called with each finding. patrol: says when a glance at each step will do; None: never. steps: how many steps
    there were. evaluation: how often the last one's closure was called. The optimizer is not kept alive.
    """

    def __init__(
        self,
        optimizer: Any,
        say: Callable[[Finding], None],
        names: Callable[[Any], dict[int, str]],
        *,
        patrol: Patrol | None,
    ) -> None:
        self.optimizer = weakref.ref(optimizer)
        self.judge = Judge(type(optimizer).__name__, say)
        self._states = States(type(optimizer).__name__, say)
        self.steps = 0
        self.evaluation = 0
        self.live = True
        self._names = names
        self._known: dict[int, str] = {}
        self._lives: list[Life] = []
        self._params: list[Any] = []
        self._armed = False
        self._lost: dict[int, Loss] = {}
        self._lost_more = 0
        self._by_hand: list[tuple[Life, Trail, Trail]] = []
        self._used_trails: set[Trail] = set()
        self._sharers: set[Trail] = set()
        self._outer: tuple[int, Any] | None = None
        self._evaluated = False
        self._skipped = False
        self._where: Trail = ()
        self._passes = PASSES.count
        self._clears = 0
        self._forwards = Forwards()
        self._threads: set[int] = set()
        self._patrol = patrol
        self._before_handle: Any = None
        self._light = Light(self._after)
        self._seat = Seat(optimizer, self._light)
        self.arm()

    # ---------------------------------------------------------------------------------------------------- hooks

    def arm(self) -> None:
        """See every backward from now on."""
        if not self._armed:
            self._armed = True
            OUTSIDERS.count(1)
            optimizer: Any = self.optimizer()
            self._before_handle = optimizer.register_step_pre_hook(Light(self._before))
            self._hook_zero_grad(optimizer)
            self._own()

    def disarm(self) -> None:
        """See backward no more."""
        if self._armed:
            self._armed = False
            OUTSIDERS.count(-1)
            self._before_handle.remove()
            self._forwards.stop()
            optimizer = self.optimizer()
            if optimizer is not None and getattr(optimizer.__dict__.get("zero_grad"), "watch", None) is self:
                del optimizer.zero_grad
            for life in self._lives:
                life.disarm()
                life.watches.discard(self)
            self._lives, self._params = [], []
            self._lost.clear()

    def remove(self) -> None:
        """Leave the optimizer as it was."""
        if not self.live:
            return
        self.live = False
        self._seat.remove(self.optimizer())
        if self._patrol is not None:
            self._patrol.come_back(self.steps, self.optimizer())
        self.disarm()

    def _hook_zero_grad(self, optimizer: Any) -> None:
        if "zero_grad" in optimizer.__dict__:  # somebody's own: what it clears is seen at the next backward
            return
        plain = type(optimizer).zero_grad
        held = weakref.ref(optimizer)

        @functools.wraps(plain)
        def zero_grad(*args: Any, **keywords: Any) -> Any:
            with self.clearing(trail(), own=True):
                return plain(held(), *args, **keywords)

        zero_grad.watch = self  # type: ignore[attr-defined]
        optimizer.zero_grad = zero_grad

    def _own(self) -> None:
        """Begin to watch parameters that have come, end with those that have gone."""
        optimizer = self.optimizer()
        params = list(owned(optimizer)) if optimizer is not None else []
        if len(params) == len(self._params) and all(
            a is b for a, b in zip(params, map(_alive, self._params), strict=True)
        ):
            return
        before = {id(life): life for life in self._lives}
        self._lives = list({id(life): life for life in map(LIVES.of, params)}.values())
        self._params = [weakref.ref(p) for p in params]
        for life in self._lives:
            if before.pop(id(life), None) is None:
                life.watches.add(self)
                life.arm()
                if self._patrol is not None:
                    self._patrol.prolong(self.steps)
        for life in before.values():
            life.disarm()
            life.watches.discard(self)

    # ---------------------------------------------------------------------------------------------------- clears

    @contextmanager
    def clearing(self, where: Trail, *, own: bool = False) -> Iterator[None]:
        """Around a zero_grad of the optimizer (own), or of a module with its parameters."""
        self._clears += 1
        if not self._armed:
            yield
            return
        handling = sys.exc_info()[0] is not None
        before: list[Any] = []
        for life in self._lives:
            if life.passes:
                life.look(reads=False)
                for ran in life.passes:
                    if handling or (not self._is_leak(ran) and life.is_not_finite()):
                        ran.excused = True
            before.append(life.version())
        yield
        for life, earlier in zip(self._lives, before, strict=False):
            if (now := life.version()) is None or (now != earlier and life.kind is not EMPTY):
                life.cleared(where, self if own else None)

    def lost(self, life: Life, where: Trail, taken: bool) -> None:
        """The gradient of a parameter was cleared before a step of anybody had used it.

        taken: by the zero_grad of another optimizer.
        """
        moved = life.is_moved_by_hand()
        if moved and life.kind is MIXED and not any(ran.consumers for ran in life.passes):
            self._by_hand.append((life, life.passes[0].trail, where))
        for ran in life.passes:
            loss = self._lost.setdefault(id(ran), Loss(ran, where))
            loss.lives.append(life)
            loss.by_hand += moved
            if taken:
                loss.taken.append(life)
            if not ran.consumers:
                PASSES.suspected.add(ran.trail)
        while len(self._lost) > KEPT:
            del self._lost[next(iter(self._lost))]
            self._lost_more += 1

    def excuse(self) -> None:
        """The step was skipped, for an overflow: what is there may be thrown away; indeed it has to be."""
        kept = [life for life in self._lives if any(id(self) in ran.skipped for ran in life.passes)]
        if kept:
            self.judge.kept_after_skip(self.named(kept), self.steps, kept[0].passes[-1].trail, trail())
        for life in self._lives:
            for ran in life.passes:
                ran.excused = True
                ran.skipped.add(id(self))

    def _is_leak(self, ran: Pass) -> bool:
        """Whether a pass was made for other optimizers: never used by this one, or by turns with them."""
        if not ran.consumers or ran.trail not in self._used_trails:
            return bool(ran.consumers)
        return not any((id(self), other) in PASSES.together for other in ran.consumers)

    # ----------------------------------------------------------------------------------------------------- steps

    def _before(self, optimizer: Any, args: Any, keywords: Any) -> Any:
        frame = sys._getframe(2)
        if self._outer is not None and _is_running(*self._outer):
            return None  # a step that calls the one of its base class
        self._outer = (id(frame), frame.f_code)
        self._threads.add(threading.get_ident())
        self._evaluated, self.evaluation = False, 0
        self._where = trail()
        closure = args[1] if len(args) > 1 else keywords.get("closure")  # the first is the optimizer
        if not callable(closure):
            self._use(optimizer)
            return None

        @functools.wraps(closure)
        def evaluated() -> Any:
            loss = closure()
            self.evaluation += 1
            self._use(optimizer)
            self._consume()
            return loss

        given = len(args) > 1
        return ((args[0], evaluated, *args[2:]), keywords) if given else (args, {**keywords, "closure": evaluated})

    def _after(self, optimizer: Any, *_: Any) -> None:
        if self._outer is not None and self._outer[0] == id(sys._getframe(2)):
            self._outer = None
            if not self._evaluated:
                self._use(optimizer)  # a closure that the step never called
            self._consume()
            if self._patrol is not None and self._patrol.is_over(self.steps, self.judge.is_calm(self.steps)):
                lives = self._lives
                self.disarm()
                self._light.hook = self._patrol.leave(self.steps, lives, optimizer, self.rise, self._seat)

    def rise(self, steps: int | None = None) -> None:
        """Look closely again, if nobody does. steps: after a step, how many nobody has looked at; None: at any time."""
        if self._armed or self._patrol is None:
            return
        optimizer = self.optimizer()
        self._light.hook = self._after
        self.steps += self._patrol.taken(optimizer) if steps is None else steps
        self._seat.wake(optimizer)
        self._patrol.come_back(self.steps, optimizer, after=steps)
        self.arm()
        if steps is not None:
            self._consume()
            self._patrol.rouse()

    def _use(self, optimizer: Any) -> None:
        """A step, or its closure, is about to use the gradients as they are now."""
        again = self._evaluated
        self._evaluated = True
        if not again:
            self.steps += 1
            self._states.glance(optimizer, self.steps, self._where, self._names)
        found = optimizer.__dict__.get("found_inf")
        self._skipped = found is not None and float(found) > 0
        self._own()
        if self._skipped:
            self.excuse()
        me = threading.get_ident()
        self._threads.update(life.thread or me for life in self._lives)
        if self._skipped or len(self._threads) > 1:  # threads that race for gradients are not judged
            self._lost.clear()
            return
        for life in self._lives:
            life.hook()
            life.look(reads=False)
        self._settle_emptied()
        kinds: dict[Any, list[Life]] = {kind: [] for kind in (EMPTY, FRESH, CONSUMED, MIXED, BY_HAND)}
        for life in self._lives:
            kinds[life.kind].append(life)
        losses, self._lost, self._lost_more = list(self._lost.values()), {}, 0
        verdicts.stale(self, kinds, again=again)
        if kinds[FRESH] or kinds[MIXED] or kinds[BY_HAND]:
            verdicts.used(self, kinds, losses)
        elif kinds[CONSUMED]:
            if not again:
                verdicts.repeated(self, kinds[CONSUMED])
        elif not again:
            verdicts.empty(self, losses)
        if again:
            return
        self._passes, self._clears = PASSES.count, 0
        self._forwards.renew()

    def _settle_emptied(self) -> None:
        """Look into the numbers, as far as they decide: has every gradient been set to zeros since backward?"""
        if any(life.kind in (CONSUMED, BY_HAND) for life in self._lives):
            return
        written = [life for life in self._lives if life.kind is not EMPTY]
        if not all(life.is_zero() for life in written):  # the first one says no, unless something is wrong
            return
        if all(life.was_alive for life in written):
            for life in written:
                life.cleared(())
        else:  # backward itself may have written zeros: from now on it is looked at
            PASSES.suspected.update(ran.trail for life in written for ran in life.passes)

    def _consume(self) -> None:
        if self._skipped or len(self._threads) > 1:
            return
        me = id(self)
        for life in self._lives:
            for ran in life.consumed(self, self._where):
                ran.consumers.add(me)

    def forget(self) -> None:
        """Begin anew, in a fork: what has happened in the other process is not this one's to judge."""
        self.judge = Judge(self.judge.kind, self.judge.say)
        self._lost.clear()
        self._by_hand.clear()
        for life in self._lives:
            life.forget()

    def owns_any(self, ids: set[int]) -> bool:
        """Whether any of the parameters with these ids is this optimizer's."""
        return any(id(life.parameter) in ids for life in self._lives)

    # ------------------------------------------------------------------------------------------------------ others

    def named(self, lives: list[Life]) -> list[str]:
        """The names of the parameters that these lives belong to."""
        optimizer = self.optimizer()
        if optimizer is not None and not all(id(life.parameter) in self._known for life in lives):
            self._known = self._names(optimizer)
        wanted = {id(life.parameter) for life in lives}
        return [name for key, name in self._known.items() if key in wanted]

    def close(self, *, whole: bool = True) -> None:
        """The end of the program, or of the watch: report what is certain by now.

        whole: the program came to its own end, so that what backward has left behind was left on purpose.
        """
        if not self.live:
            return
        if self._armed and whole:
            if not self.judge.used:
                verdicts.never_stepped(self)
            else:
                verdicts.one_behind(self)
        self.judge.close()
        optimizer = self.optimizer()
        if optimizer is not None:
            steps = self.steps + (self._patrol.taken(optimizer) if self._patrol is not None else 0)
            self._states.look(optimizer, f"after step {steps}", steps, self._where, self._names)


def is_ready_to_rest(watch: Watch) -> bool:
    """Whether nobody needs to look closely, as far as this one's optimizer is concerned."""
    return watch._patrol is not None and watch._patrol.is_ready(watch.steps, watch.judge.is_calm(watch.steps))


def _alive(ref: Any) -> Any:
    return ref()


def _is_running(frame_id: int, code: Any) -> bool:
    frame: Any = sys._getframe(2)
    while frame is not None:
        if id(frame) == frame_id and frame.f_code is code:
            return True
        frame = frame.f_back
    return False
