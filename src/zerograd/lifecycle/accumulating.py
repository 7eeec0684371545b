"""Exact accumulation: windows of micro-batches whose gradients add up to the gradient of the whole.

The mean over a window of unequal micro-batches is not the mean of their means. Each loss is weighed by what it stands
for, in parts of what the window would come to if all were as large as the first one: then the gradients add up to the
mean. Otherwise they are divided by what is missing or too much, once: by the step, in its own pass over the gradients.
Where something may look at them before the step, such as clipping by hand, that happens after the backward of the last
micro-batch, or when all have been taken out. Gradients in float16 could overflow before that: there the mean so far is
kept running instead, at the price of one multiplication of the gradients for each micro-batch.
"""

from __future__ import annotations

import math
import operator
import sys
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from types import FrameType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from zerograd.lifecycle.next_steps import may_wait, step_is_next
from zerograd.lifecycle.ownership import innermost, owned
from zerograd.lifecycle.stamps import Declared
from zerograd.lifecycle.traces import Traces, are_hidden, are_zero, marks_of

Reduction = Literal["mean", "sum"]
Way = Literal["each as one", "by its n", "as a sum"]
"""How a loss counts in the divisor; one that is a sum does not."""

MOST_EXPECTED = 4096
"""Weights of losses are no smaller than that part: "one window of all there is" is no expectation."""


def accumulate(loader: Iterable[Any], optimizer: Any, every: int = 4, model: Any = None) -> Iterator[Window]:
    """Windows of ``every`` micro-batches; the last one may be shorter, and is divided by what it really holds.

    loader: any iterable of micro-batches, read one at a time. optimizer: any optimizer of PyTorch, or a wrapper that
    keeps one as its ``optimizer``. model: one that has ``no_sync`` (DistributedDataParallel) sends its gradients only
    with the last micro-batch of a window. Raises TypeError or ValueError at once for what can't work.

    >>> import torch, zerograd
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = zerograd.SGD(model.parameters(), lr=0.1)
    >>> loader = [torch.randn(3, 2), torch.randn(3, 2), torch.randn(1, 2)]
    >>> for batches in zerograd.accumulate(loader, optimizer, every=2):
    ...     optimizer.zero_grad()
    ...     for inputs in batches:
    ...         loss = model(inputs).square().mean()
    ...         batches.backward(loss, n=len(inputs))
    ...     optimizer.step()
    """
    if not isinstance(optimizer, Optimizer) and not isinstance(innermost(optimizer), Optimizer):
        raise TypeError(f"accumulate(loader, optimizer): {type(optimizer).__name__} is no torch.optim.Optimizer")
    if isinstance(every, bool) or not isinstance(every, int):
        raise TypeError(f"accumulate(every={every!r}): it is a number of micro-batches, a whole one")
    if every < 1:
        raise ValueError(f"accumulate(every={every}): a window has at least one micro-batch")
    return _windows(iter(loader), innermost(optimizer), every, model, _length(loader))


def _windows(batches: Iterator[Any], optimizer: Any, every: int, model: Any, left: int) -> Generator[Window]:
    by_itself = _divides(optimizer)
    current: list[Window] = []
    unused = False
    handles: list[Any] = []
    if not by_itself:  # after the step it is too late, and in it a closure may still have backwards to come
        handles.append(optimizer.register_step_pre_hook(lambda *_: current[-1].divide_before_step()))
        handles.append(optimizer.register_step_post_hook(lambda *_: current[-1].close_after_step()))
    running = any(p.dtype == torch.float16 for p in owned(optimizer))
    last, traces = _LAST.setdefault(optimizer, [_nobody]), Traces(optimizer)
    try:
        for first in batches:
            rest, size = islice(batches, every - 1), min(every, left) if left > 0 else every
            window = Window(first, rest, optimizer, every, size, last, traces, model, unused, running)
            current[:] = [window]
            last[0] = weakref.ref(window)
            if by_itself:
                optimizer._window = window
            yield window
            left -= max(1, window.taken)
            unused = window.is_unused()
            window.close()
    finally:
        if current and current[-1].is_open():
            last[0] = _nobody
        for handle in handles:
            handle.remove()
        if by_itself and optimizer.__dict__.get("_window") in current:
            optimizer._window = None


class Window(Declared):
    """The micro-batches between two steps. Iterate over it, and call its ``backward`` with each loss.

    divisor: what the gradients are still to be divided by; the step does it. every: how many micro-batches to expect.
    size: how many there will be, as far as anybody knows; to be wrong about it costs a pass over the gradients.
    taken: how many have been taken out. last: holds a reference to the optimizer's window that has begun last. traces:
    what a clear is seen by. follows_unused: there has been a window before this one without a step. running: the mean
    so far is kept.
    """

    def __init__(
        self, first: Any, rest: Iterator[Any], optimizer: Any, every: int, size: int,
        last: list[Callable[[], Window | None]], traces: Traces, model: Any, follows_unused: bool, running: bool,
    ) -> None:  # fmt: skip
        self._next, self._rest = first, rest
        self._expected = every if every <= MOST_EXPECTED else 1
        self._size, self.taken = size, 0
        self._ends = False
        self._last = last
        self._way: Way | None = None
        self._follows_unused = follows_unused
        self._quiet: Any = getattr(model, "no_sync", None)
        self._optimizer = optimizer
        self._unit = 0.0
        self._total = 0.0
        self._waiting: dict[object, float] = {}
        self._failed = self._divided = False
        self._traces, traces.there = traces, False
        self._small = self._running = running

    def __iter__(self) -> Iterator[Any]:
        """The micro-batches that have not been read yet."""
        reader: FrameType | None = None
        try:
            while True:
                batch = next(self._rest, _END) if self._next is _END else self._next
                self._next = _END
                if batch is _END:
                    reader = sys._getframe().f_back
                    break
                self.taken += 1
                if self._quiet is not None:  # one ahead: the last one is told from the others before its forward pass
                    self._next = next(self._rest, _END)
                    self._size = self.taken + (self._next is not _END)
                if self.taken == self._size:
                    self._ends = self._would_be_even() or not may_wait(sys._getframe().f_back)
                if self._next is _END:
                    yield batch
                else:
                    with self._quiet():
                        yield batch
        finally:  # after a break too
            self._ends = True
            self._average(reader)

    def _average(self, reader: FrameType | None = None) -> None:
        """All micro-batches are read: what looks at the gradients before the step, such as
        ``torch.nn.utils.clip_grad_norm_``, is to see their mean. A backward that still comes is weighed into it.

        reader: the frame whose loop over the window ends here, if any does.
        """
        if self._waiting or self._failed or not self.is_open():  # then a backward is to come, or to be cleared
            return
        if (divisor := self.divisor) != 1.0:
            if are_hidden(self._optimizer) or self._waits_for_step(reader):
                return
            scale_gradients(self._optimizer, 1.0 / divisor)
            self._unit = self._total
        self._running = True

    def _waits_for_step(self, reader: FrameType | None) -> bool:
        """Whether nothing comes between the loop in this frame and the step, which can divide then."""
        return reader is not None and _divides(self._optimizer) and step_is_next(reader, self, self._optimizer)

    def _would_be_even(self) -> bool:
        """Whether there would be nothing to divide if one more came that is like the first."""
        return math.isclose(self._total / self._unit + 1 / self._expected if self._unit else 1 / self._expected, 1.0)

    def is_open(self) -> bool:
        """Whether no other window has begun for the same optimizer."""
        last = self._last[0]()
        return last is self or last is None

    @property
    def divisor(self) -> float:  # type: ignore[override]
        """What the gradients are still to be divided by.

        Raises RuntimeError if the gradients are not those of the losses that were weighed.
        """
        if self._divided:
            return 1.0
        self._look_for_clear()
        if self._waiting:
            raise RuntimeError(
                f"{len(self._waiting)} of the losses that this window has weighed had no backward, and they count in "
                "its mean: call weighted() only for a loss whose backward follows"
            )
        return self._total / self._unit if self._unit else 1.0

    def backward(self, loss: Tensor, n: float | None = None, *, reduction: Reduction = "mean", **keywords: Any) -> None:
        """Add the gradients of a loss with the weight that it has in the window; the arguments are ``weighted``'s.

        A micro-batch of no samples or tokens (``n=0``) adds nothing, whatever its loss says. keywords: for
        ``Tensor.backward``.
        """
        if n is not None and _number(n) == 0:
            self._average_at_end()
            return
        factor, _ = self._weight(n, reduction)
        if factor != 1.0:
            if type(loss) is Tensor and loss.numel() == 1 and loss.requires_grad and keywords.get("gradient") is None:
                keywords["gradient"] = loss.new_full(loss.shape, factor)  # in place of the 1 that torch would make
            else:
                loss = loss * factor
        try:
            loss.backward(**keywords)  # type: ignore[no-untyped-call]
        except BaseException:
            self._failed = True
            raise
        self._arrived()

    def weighted(self, loss: Tensor, n: float | None = None, *, reduction: Reduction = "mean") -> Tensor:
        """The loss with the weight that it has in the window, for a backward of your own; call it once a micro-batch.

        loss: 0-dim; one that a GradScaler has scaled will do. n: how many samples or tokens it stands for; without it
        all micro-batches count the same. reduction: whether the loss is their "mean" or their "sum"; the step takes
        the mean over the window either way, except for sums without ``n``, which simply add up.
        Raises TypeError for an ``n`` that is no number, ValueError for one that is not more than 0, and if only some of
        the losses come with one; RuntimeError after the window has been divided, once another window has begun for the
        same optimizer, and after a backward that failed until its gradients are cleared.
        """
        factor, amount = self._weight(n, reduction)
        weighed = loss if factor == 1.0 and not loss.is_leaf else loss * factor
        if amount and weighed.requires_grad:
            key, waiting = object(), self._waiting
            waiting[key] = amount

            def arriving(_: Tensor) -> None:
                self._look_for_clear()
                waiting.pop(key, None)
                before = marks_of(self._optimizer) if self._ends else None
                queue = torch.autograd.Variable._execution_engine.queue_callback
                queue(lambda: queue(lambda: self._arrived(before)))  # the inner one: after DistributedDataParallel's

            weighed.register_hook(arriving)  # type: ignore[no-untyped-call]
        return weighed

    def _arrived(self, before: list[Any] | None = None) -> None:
        """A backward has ended, perhaps the window's last. before: the marks before it; if they are the same, as
        after ``torch.autograd.grad``, its gradients are still to be added by the user."""
        self._traces.renew()
        if before is None or before != marks_of(self._optimizer):
            self._average_at_end()

    def _average_at_end(self) -> None:
        if self._ends and not self._divided:
            self._average()

    def _weight(self, n: float | None, reduction: Reduction) -> tuple[float, float]:
        """The weight of a loss, and what it adds to the divisor."""
        if reduction not in ("mean", "sum"):
            raise ValueError(f"reduction={reduction!r}; it is 'mean' or 'sum'")
        if self._divided:
            raise RuntimeError("the gradients of this window have been divided: a further backward would count more")
        if not self.is_open():
            raise RuntimeError(
                "another window has begun for the same optimizer, and its gradients would be divided with this one's; "
                "finish one window before the next begins"
            )
        if self._follows_unused and not are_zero(self._optimizer):
            raise RuntimeError(
                "the window before this one had no step, and its gradients are still there: they would add to this"
                " one's with a weight of their own; call optimizer.zero_grad() before a window's first backward"
            )
        self._follows_unused = False
        amount = 1.0 if n is None else _number(n)
        if not (amount > 0 and math.isfinite(amount)):
            raise ValueError(f"n={n}: a micro-batch stands for a finite number of samples or tokens, more than 0")
        if n is None and reduction == "sum":
            self._settle("as a sum")
            return 1.0, 0.0
        self._settle("each as one" if n is None else "by its n")
        self._look_for_clear()
        if self._small and self._waiting:  # added up with this one's, they might overflow
            raise RuntimeError("a loss of this window was weighed, and its backward has to come before the next one")
        before, self._total = self._total, self._total + amount
        # What can't be scaled yet stays as it is: a loss that waits, gradients that are hidden (FSDP without a sync).
        if self._running and not self._waiting and not (before and are_hidden(self._optimizer)):
            if before:
                scale_gradients(self._optimizer, self._unit / self._total)
            self._unit = self._total
        self._unit = self._unit or amount * (1 if self._running else self._expected)
        return (amount if reduction == "mean" else 1.0) / self._unit, amount

    def _look_for_clear(self) -> None:
        """Gradients that were cleared since the last backward count no more: the window begins anew, with the losses
        whose backward is still to come."""
        if self._failed:
            if not are_zero(self._optimizer):
                raise RuntimeError(
                    "a backward of this window ended with an error, and may have written some gradients and not others;"
                    " call optimizer.zero_grad() before going on, and the window begins anew"
                )
            self._waiting.clear()
        elif not self._traces.are_gone():
            return
        self._failed = False
        self._traces.there = False
        self._total = math.fsum(self._waiting.values())
        self._unit = self._unit if self._waiting else 0.0

    def _settle(self, way: Way) -> None:
        """All losses of a window count in one way."""
        if self._way not in (None, way):
            raise ValueError("some losses of this window came with n and others without, or as sums: they don't add up")
        self._way = way

    def divide(self) -> None:
        """Divide the gradients now instead of in the step, for what looks at them before it, such as
        ``torch.nn.utils.clip_grad_norm_``."""
        divisor, self._divided = self.divisor, True
        if divisor != 1.0:
            scale_gradients(self._optimizer, 1.0 / divisor)

    def is_unused(self) -> bool:
        """Whether losses have been weighed and no step has come yet."""
        return bool(self._total) and not self._divided

    def divide_before_step(self) -> None:
        """Divide the gradients for a step that does not, unless another window is the one that it is for."""
        if self.is_open() and self.divisor != 1.0:
            self._average()

    def close_after_step(self) -> None:
        """There has been such a step."""
        if self.is_open():
            self.close()

    def close(self) -> None:
        """The step has been taken, or the next window begins: there is nothing to divide any more."""
        self._divided = True


def _number(n: Any) -> float:
    try:
        return float(n)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"n={n!r}: it is one number, of samples or tokens") from None


def _length(loader: Any) -> int:
    """How many micro-batches it says that it has; 0 if it does not say."""
    try:
        return operator.length_hint(loader)
    except Exception:  # whatever a ``__len__`` may raise
        return 0


def _divides(optimizer: Any) -> bool:
    """Whether its step divides in the pass that reads the gradients anyway."""
    return hasattr(type(optimizer), "_window")


_END = object()
_LAST: weakref.WeakKeyDictionary[Any, list[Callable[[], Window | None]]] = weakref.WeakKeyDictionary()
"""The window of each optimizer that has begun last, if it is still there."""


def _nobody() -> None:
    """In place of a reference to a window."""


@torch.no_grad()
def scale_gradients(optimizer: Any, factor: float) -> None:
    """Multiply the gradients of all parameters, in place."""
    dense: dict[Any, list[Tensor]] = {}
    for p in {id(p): p for p in owned(optimizer)}.values():
        if (g := p.grad) is None:
            continue
        if g.layout == torch.strided:
            dense.setdefault((g.device, g.dtype), []).append(g)
        else:
            g.mul_(factor)
    for gradients in dense.values():
        torch._foreach_mul_(gradients, factor)
