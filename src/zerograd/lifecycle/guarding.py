"""The guard: one line that tells when the cycle of backward, step and zero_grad is broken."""

from __future__ import annotations

import atexit
import sys
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from zerograd.errors import HazardError, HazardWarning
from zerograd.lifecycle.findings import Finding
from zerograd.lifecycle.ownership import innermost, names_of
from zerograd.lifecycle.patrols import Patrol
from zerograd.lifecycle.watching import Watch

Action = Literal["warn", "raise"] | Callable[[Finding], Any]

LEVELS = ("default", "strict")


def guard(optimizer: Any, model: Any = None, *, action: Action = "warn", level: str = "default") -> Guard:
    """Watch an optimizer, and tell when its gradients are used twice, thrown away, or missing at a step.

    optimizer: any ``torch.optim.Optimizer``. model: for the names of its parameters. action: "warn" gives a
    ``HazardWarning``, "raise" a ``HazardError`` in place of the step, and a function is called with each finding
    (``code``, ``name``, ``message``, ``parameters``, ``steps``, ``sites``, ``count``). level: "default" looks at every
    backward in the first cycles, and later only when a quick look at a step raises a suspicion; "strict" always does.

    What is seen once is a suspicion; what is seen again, or holds at the end, is said, once for each cause. The handle
    that is returned ends the watch, by ``remove()`` or as a context manager. Nothing is computed differently.
    Raises TypeError or ValueError for what it can't watch.

    >>> import torch, zerograd
    >>> model = torch.nn.Linear(2, 1)
    >>> optimizer = zerograd.SGD(model.parameters(), lr=0.1)
    >>> with zerograd.guard(optimizer, model, action=lambda finding: print(finding.code, finding.name)):
    ...     for _ in range(3):
    ...         model(torch.ones(1, 2)).sum().backward()
    ...         optimizer.step()  # and no zero_grad
    ZG101 missing-zero-grad
    """
    inner = innermost(optimizer)
    if not isinstance(inner, Optimizer) or not hasattr(inner, "_optimizer_step_pre_hooks"):
        raise TypeError(f"guard(optimizer): {type(optimizer).__name__} is no torch.optim.Optimizer")
    if model is not None and not hasattr(model, "named_parameters"):
        raise TypeError(f"guard(optimizer, model): {type(model).__name__} has no named_parameters()")
    if not callable(action) and action not in ("warn", "raise"):
        raise ValueError(f"guard(action={action!r}): it is 'warn', 'raise' or a function of a finding")
    if level not in LEVELS:
        raise ValueError(f"guard(level={level!r}): it is one of {', '.join(map(repr, LEVELS))}")
    return Guard(inner, model, action, always=level == "strict")


class Guard(RemovableHandle):
    """The handle of a watch. findings: all that has been said so far, with counts that go on."""

    def __init__(self, optimizer: Any, model: Any, action: Action, *, always: bool) -> None:
        super().__init__(OrderedDict())
        self.findings: list[Finding] = []
        self._action = action
        self._closing = False
        self._watch: Watch | None = Watch(optimizer, self._say, _names_for(model), patrol=None if always else Patrol())
        _keep(self, optimizer)

    def _say(self, finding: Finding) -> None:
        self.findings.append(finding)
        if callable(self._action):
            self._action(finding)
        elif self._action == "raise" and not self._closing:
            raise HazardError(str(finding))
        else:
            warn(finding)

    def remove(self) -> None:
        """End the watch; what is certain by now is still said."""
        self._end(closing=False)

    def _end(self, *, closing: bool, failed: bool = False) -> None:
        watch, self._watch = self._watch, None
        _KEPT.pop(id(self), None)
        if watch is None:
            return
        self._closing = closing
        try:
            watch.close(whole=not failed)
        finally:
            watch.remove()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, kind: Any, value: Any, traceback: Any) -> None:
        self._end(closing=value is not None, failed=value is not None)


_KEPT: dict[int, Guard] = {}
"""A guard whose handle nobody keeps goes on as long as its optimizer."""


def _keep(held: Guard, optimizer: Any) -> None:
    key = id(held)
    if not _KEPT:
        atexit.unregister(_close_all)
        atexit.register(_close_all)
    _KEPT[key] = held

    def end() -> None:
        known = _KEPT.get(key)
        if known is not None:
            known._end(closing=True)

    weakref.finalize(optimizer, end).atexit = False


def _close_all() -> None:
    for held in list(_KEPT.values()):
        held._end(closing=True)


def warn(finding: Finding) -> None:
    """A HazardWarning that points to the first line of the finding."""
    where = finding.sites[0] if finding.sites else None
    try:
        if where is None:
            warnings.warn(str(finding), HazardWarning, stacklevel=2)
        else:
            warnings.warn_explicit(str(finding), HazardWarning, where.file, where.line)
    except HazardWarning:
        if not _is_ending():
            raise
        sys.stderr.write(f"HazardWarning: {finding}\n")


def _is_ending() -> bool:
    """Whether the interpreter is running its last functions: an exception would reach nobody."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _close_all.__code__:
            return True
        frame = frame.f_back
    return False


def _names_for(model: Any) -> Callable[[Any], dict[int, str]]:
    """How a watch finds names, given the model or None, which is not kept alive."""
    held: Any = weakref.ref(model) if model is not None else lambda: None
    return lambda optimizer: names_of(optimizer, held())
