"""The life of each parameter's gradient, seen by hooks: empty, fresh, consumed, mixed, or made by hand.

backward makes an empty gradient fresh. A step makes it consumed. backward onto a consumed one makes it mixed: the
next step would use the old part again. A clear makes it empty. A gradient that somebody has assigned or changed in
place is made by hand, and nothing is held against it.

Version counters tell whether a gradient has been written to since it was last looked at, and only then its numbers
are read: cleared in place, or changed? Gradients and graphs are never kept.
"""

from __future__ import annotations

import enum
import threading
import weakref
from collections import deque
from typing import Any

import torch
from torch import Tensor

from zerograd.lifecycle.leaves import reaches_inputs
from zerograd.lifecycle.readers import reads_inputs
from zerograd.lifecycle.reading import is_not_finite, is_other, is_reduced, is_zero, sampled
from zerograd.lifecycle.sites import Trail, trail
from zerograd.lifecycle.stamps import stamp, stamped, write_counts

KEPT = 64
"""How many backward passes of one window are remembered by name."""


class Kind(enum.Enum):
    """What a gradient holds."""

    EMPTY = enum.auto()
    FRESH = enum.auto()
    CONSUMED = enum.auto()
    MIXED = enum.auto()
    BY_HAND = enum.auto()


EMPTY, FRESH, CONSUMED, MIXED, BY_HAND = Kind


class Pass:
    """One backward pass.

    trail: where backward was called. consumers: the watches whose step has used gradients of it. missed: those whose
    step has found nothing because it had been cleared. excused: it may be thrown away, say after an overflow. skipped:
    the watches whose step, that it was made for, was left out. outside: it also reached leaves that are no parameters,
    such as an input that is attacked; None if nobody has looked. reached: the lives that it writes to while it runs.
    """

    __slots__ = ("consumers", "excused", "missed", "outside", "reached", "skipped", "trail")

    def __init__(self, where: Trail) -> None:
        self.trail = where
        self.reached: list[Life] = []
        self.consumers: set[int] = set()
        self.missed: set[int] = set()
        self.excused = False
        self.skipped: set[int] = set()
        self.outside: bool | None = None

    def ended(self) -> None:
        """All gradients are written."""
        reached, self.reached = self.reached, []
        for life in reached:
            life.settle()


class Passes:
    """All backward passes of this process, as far as watched parameters see them."""

    def __init__(self) -> None:
        self.count = 0
        self.recent: deque[Pass] = deque(maxlen=KEPT)
        self.suspected: set[Trail] = set()
        self.together: set[tuple[int, int]] = set()
        """Pairs of watches whose steps have used gradients of one and the same pass."""
        self._local = threading.local()

    def share(self, ran: Pass, me: int) -> None:
        """A step of a watch uses gradients of a pass."""
        for other in ran.consumers - {me}:
            self.together |= {(me, other), (other, me)}

    def since(self, count: int) -> list[Pass]:
        """The passes since there were so many, as far as they are remembered."""
        more = self.count - count
        return list(self.recent)[-more:] if more else []

    def now(self) -> Pass:
        """The pass that is running in this thread."""
        task = torch._C._current_graph_task_id()
        local = self._local
        if getattr(local, "task", None) != task:
            local.task, local.running = task, Pass(trail())
            self.count += 1
            self.recent.append(local.running)
            if local.running.trail in self.suspected:
                local.running.outside = reaches_inputs(LIVES) and reads_inputs(local.running.trail)
            torch.autograd.Variable._execution_engine.queue_callback(local.running.ended)
        running: Pass = local.running
        return running


PASSES = Passes()


class Life:
    """The life of one parameter's gradient. All optimizers that own the parameter share it.

    passes: those that wrote to the gradient since it was last empty or consumed. by: the watch whose step consumed it
    last, in its step number ``step`` at ``step_trail``, in evaluation number ``evaluation`` of its closure, if it has
    one. natural: what was consumed came from backward. renewed: it was no tensor that a step had consumed before.
    asked: whether it has been asked if what was consumed is still there; from then on its numbers are kept in mind.
    """

    __slots__ = (
        "__weakref__", "_address", "_arriving", "_earlier", "_handles", "_ref", "_version", "armed", "asked", "by",
        "evaluation", "kind", "natural", "numbers", "passes", "renewed", "sample", "step", "step_trail", "thread",
        "was_alive", "watches", "weights",
    )  # fmt: skip

    def __init__(self, parameter: Tensor) -> None:
        self._ref: Any = weakref.ref(parameter)
        self.kind = EMPTY if parameter.grad is None else BY_HAND
        self.passes: list[Pass] = []
        self.watches: weakref.WeakSet[Any] = weakref.WeakSet()
        self.armed = 0
        self._handles: list[Any] = []
        self._version: Any = None
        self._address = 0
        self._arriving: Pass | None = None
        self._earlier: Any = None
        self.by: Any = None
        self.step = self.evaluation = 0
        self.step_trail: Trail = ()
        self.natural = self.renewed = self.asked = False
        self.weights: Any = None
        self.sample: Any = None
        self.numbers: Any = None
        self.was_alive = False
        self.thread: int | None = None

    @property
    def parameter(self) -> Any:
        """The parameter, or None once it is gone."""
        return self._ref()

    # ---------------------------------------------------------------------------------------------------- hooks

    def arm(self) -> None:
        """See every backward from now on."""
        if not self.armed:  # what happened since the last watch ended is not known
            self.forget()
        self.armed += 1
        self.hook()

    def hook(self) -> None:
        """Put the hooks on, if they are wanted and not there: a frozen parameter gets them when it thaws."""
        p = self._ref()
        if self._handles or not self.armed or p is None or not p.requires_grad or not p.is_leaf:
            return

        def arriving(_: Tensor) -> None:
            self._arrives()

        self._handles = [hooked(p, arriving)]
        if hasattr(p, "_local_tensor"):  # FSDP runs these, by hand, and none of the others
            self._handles.append(p.register_post_accumulate_grad_hook(lambda _: self._written_by_hand()))

    def disarm(self) -> None:
        """See backward no more."""
        self.armed -= 1
        if self.armed == 0:
            for handle in self._handles:
                handle.remove()
            self._handles = []
            p = self._ref()
            if p is not None:
                tidied(p)

    def _arrives(self) -> None:
        """A backward is about to write to the gradient; or torch.autograd.grad only asks for it."""
        self.settle()
        if self.kind is not EMPTY or self._address:
            self.look()
        self._arriving, self._earlier = PASSES.now(), self.identity()
        self._arriving.reached.append(self)

    def settle(self) -> None:
        """What a backward was about to write is there now: at its end, or when a hook inside it steps."""
        running, self._arriving = self._arriving, None
        if running is not None and self.identity() not in (None, self._earlier):
            self._accumulated(running, MIXED if self.natural else FRESH)

    def _written_by_hand(self) -> None:
        """FSDP has put a gradient in its place, and nobody knows what was there before."""
        if self._arriving is None and self.version() is not None:
            self._accumulated(PASSES.now(), BY_HAND)

    def _accumulated(self, running: Pass, onto_consumed: Kind) -> None:
        p = self._ref()
        g = p.grad
        if self.kind is CONSUMED:
            self.kind, self.passes = onto_consumed, []
        elif self.kind is not MIXED:
            if self.kind is not FRESH:
                self.passes = []
            self.kind = FRESH
        if len(self.passes) < KEPT:
            self.passes.append(running)
        self._version, self._address = write_counts(g), id(g)
        self.weights, self.sample, self.numbers, self.was_alive = p._version, None, None, False
        if running.trail in PASSES.suspected:
            self.sample, self.numbers = sampled(p), (sampled(g), g.data_ptr() if g.layout == torch.strided else 0)
            self.was_alive = not is_zero(g)
            if is_not_finite(g):
                running.excused = True

    # ---------------------------------------------------------------------------------------------------- looks

    def look(self, reads: bool = True) -> None:
        """Find out what has become of the gradient since the last event.

        reads: whether the numbers of a fresh gradient that has been written to are read now.
        """
        self.settle()
        p = self._ref()
        g = None if p is None else p.grad
        if g is None:
            if self.kind is not EMPTY:
                self.cleared(())
            self._address = 0
        elif self.kind is EMPTY:
            if id(g) != self._address or (write_counts(g) != self._version and not is_zero(g)):
                self.kind = BY_HAND  # else it is the one that was set to zeros, which clipping leaves zeros
        elif self.kind is CONSUMED:
            mark = stamped(g)
            if mark is None:
                self.kind = BY_HAND
            elif is_zero(g):
                self.cleared(())
            elif mark != write_counts(g):
                self.kind = BY_HAND
        elif self.kind is not BY_HAND:
            if id(g) != self._address and not is_reduced(g):
                self.kind, self.passes = BY_HAND, []
            elif reads and write_counts(g) != self._version and is_zero(g):
                self.cleared(())

    def is_zero(self) -> bool:
        """Whether the gradient is zero everywhere."""
        p = self._ref()
        g = None if p is None else p.grad
        return g is not None and is_zero(g)

    def is_not_finite(self) -> bool:
        """Whether the gradient holds nan or infinities."""
        p = self._ref()
        g = None if p is None else p.grad
        return g is not None and is_not_finite(g)

    def version(self) -> Any:
        """The gradient's versions now; None without a gradient."""
        p = self._ref()
        g = None if p is None else p.grad
        return None if g is None else write_counts(g)

    def identity(self) -> Any:
        """Which gradient this is, and its versions; None without one."""
        p = self._ref()
        g = None if p is None else p.grad
        return None if g is None else (id(g), write_counts(g))

    def is_replaced(self) -> bool | None:
        """Whether other numbers have been put in the place of a fresh gradient's; None if that can't be told."""
        p = self._ref()
        g = None if p is None else p.grad
        if g is None or self.numbers is None:
            return None
        before, address = self.numbers
        return bool(address and g.data_ptr() != address and not is_reduced(g)) or is_other(g, before)

    def cleared(self, where: Trail, by: Any = None) -> None:
        """The gradient has been set to None or to zeros, at ``where`` if that is known.

        by: the watch over the optimizer whose zero_grad it was.
        """
        if self.passes:
            for watch in self.watches:
                watch.lost(self, where, by is not None and by is not watch)
        self.kind, self.passes = EMPTY, []
        p = self._ref()
        g = None if p is None else p.grad
        if g is None:
            self._address = 0
        else:
            self._address, self._version = id(g), write_counts(g)

    def consumed(self, watch: Any, where: Trail) -> list[Pass]:
        """A step of a watch has used the gradient; the passes that it was made of."""
        p = self._ref()
        g = None if p is None else p.grad
        if g is None:
            return []
        passes = self.passes
        self.natural = self.kind in (FRESH, MIXED) or (self.kind is CONSUMED and self.natural)
        self.kind, self.passes = CONSUMED, []
        self.by, self.step, self.step_trail = weakref.ref(watch), watch.steps, where
        self.evaluation = watch.evaluation
        self.weights, self.sample = p._version, None
        self.thread = threading.get_ident()
        self.renewed = stamped(g) is None
        if self.asked:
            self.numbers = sampled(g), g.data_ptr() if g.layout == torch.strided else 0
        stamp(g)
        return passes

    def forget(self) -> None:
        """What has happened so far is nobody's concern any more."""
        p = self._ref()
        self.kind, self.passes = EMPTY if p is None or p.grad is None else BY_HAND, []
        self._address, self.natural, self.thread = 0, False, None

    def is_moved_by_hand(self) -> bool:
        """Whether the weights have changed since backward, or since the step, whichever came last."""
        p = self._ref()
        if p is None or self.sample is None:
            return p is None or p._version != self.weights
        return not torch.equal(self.sample, sampled(p))  # a clamp may have written the same numbers


class Lives:
    """The lives of all parameters that are watched."""

    def __init__(self) -> None:
        self._by_id: dict[int, Life] = {}

    def of(self, parameter: Tensor) -> Life:
        """The life of a parameter; it begins with the first question."""
        key = id(parameter)
        life = self._by_id.get(key)
        if life is None or life.parameter is not parameter:
            life = self._by_id[key] = Life(parameter)
            weakref.finalize(parameter, self._forget, key, weakref.ref(life)).atexit = False
        return life

    def __contains__(self, parameter: object) -> bool:
        return id(parameter) in self._by_id

    def _forget(self, key: int, life: Any) -> None:
        if self._by_id.get(key) is life():
            self._by_id.pop(key, None)


LIVES = Lives()


def hooked(parameter: Tensor, arriving: Any) -> Any:
    """Have every backward call a function before it writes to a parameter's gradient; the handle takes that back."""
    arriving.__torch_unserializable__ = True  # so that saving the tensor does not warn
    return parameter.register_hook(arriving)  # type: ignore[no-untyped-call]


def tidied(parameter: Any) -> None:
    """After a hook is removed: an empty dictionary of hooks still costs every backward a call of Python."""
    for name in ("_backward_hooks", "_post_accumulate_grad_hooks"):
        if not getattr(parameter, name):
            setattr(parameter, name, None)
