"""A session guards every optimizer that is made while it lasts: for whole programs that know nothing of the guard."""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from torch import nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from zerograd.errors import HazardError
from zerograd.lifecycle.children import taken_along
from zerograd.lifecycle.findings import Finding, as_one
from zerograd.lifecycle.guarding import warn
from zerograd.lifecycle.ownership import named_by, owned
from zerograd.lifecycle.patrols import BETWEEN_OF_PROGRAMS, FIRST_OF_PROGRAMS, Patrol
from zerograd.lifecycle.sites import trail
from zerograd.lifecycle.watching import Watch, is_ready_to_rest


class Session:
    """Guards all optimizers, torch's own and others, from ``begin()`` to ``end()``, in this process and those that
    multiprocessing starts.

    action: "warn", "raise", or "keep" to say nothing. report: a file that always holds the findings so far, as JSON.
    parent: the process whose report it is, if not this one's.
    failed: to be set if the program ends with an error, so that what it left undone is not held against it.
    """

    def __init__(self, action: str = "warn", report: Path | None = None, *, parent: int | None = None) -> None:
        self.findings: list[Finding] = []
        self._causes: dict[Any, list[Finding]] = {}
        self._warned: list[tuple[Finding, list[Finding]]] = []
        self._action, self._report = action, report
        self._watches: weakref.WeakKeyDictionary[Any, Watch] = weakref.WeakKeyDictionary()
        self._undo = ExitStack()
        self._process = os.getpid() if parent is None else parent
        self._closing = False
        self.failed = False

    def begin(self) -> None:
        """Guard what is made from now on; the report is there from the beginning."""
        self._write()
        self._wrap(Optimizer, "__init__", self._attach_after)
        self._wrap(Optimizer, "__setstate__", self._attach_after)  # copies and unpickled ones are not constructed
        self._wrap(nn.Module, "zero_grad", self._see_clear)
        self._wrap(GradScaler, "step", self._see_skip)
        self._wrap(BaseProcess, "start", self._take_along)
        _after_fork(self)

    def attach(self, optimizer: Any) -> None:
        """Guard one optimizer, if it is whole and not guarded yet. Those that are made after ``begin()`` are."""
        if optimizer in self._watches or not hasattr(optimizer, "_optimizer_step_pre_hooks"):
            return
        self._rise()
        patrol = Patrol(FIRST_OF_PROGRAMS, BETWEEN_OF_PROGRAMS, self._is_calm, self._rise)
        watch = self._watches[optimizer] = Watch(optimizer, self.say, best_names, patrol=patrol)
        weakref.finalize(optimizer, watch.close).atexit = False

    def _rise(self) -> None:
        """Look closely at all optimizers: what one throws away another may have used."""
        for watch in list(self._watches.values()):
            watch.rise()

    def _is_calm(self) -> bool:
        return all(map(is_ready_to_rest, self._watches.values()))

    def end(self) -> None:
        """Report what is certain by now, and leave torch as it was."""
        if self._closing:
            return
        self._closing = True
        for watch in sorted(self._watches.values(), key=lambda watch: not watch.steps):
            watch.close(whole=not self.failed)
            watch.remove()
        self._undo.close()
        self._write()
        if self._action == "warn" and not self.failed:
            self._sum_up()

    def _sum_up(self) -> None:
        """How often it was in the end, what was said when it was found."""
        for finding, same in self._warned:
            if (count := sum(one.count for one in same)) > 1:
                where = f" ({finding.sites[0]})" if finding.sites else ""
                sys.stderr.write(f"zerograd guard: {finding.code} {finding.name} {count} times in all{where}\n")

    def say(self, finding: Finding) -> None:
        """Keep a finding, write the report anew, and warn or raise.

        The same mistake at the same lines is one cause, however many optimizers it is made with.
        """
        if finding.code == "ZG105" and any(
            code == "ZG110" and set(finding.sites[:1]) & set(same[0].sites) for (code, _), same in self._causes.items()
        ):
            return  # the step of another optimizer was called instead, which says so
        same = self._causes.setdefault((finding.code, tuple(finding.sites) or finding.message), [])
        same.append(finding)
        if len(same) > 1:
            self._write()
            return
        self.findings.append(finding)
        self._write()
        if self._action == "raise" and not self._closing:
            raise HazardError(str(finding))
        if self._action in ("warn", "raise"):
            if self._closing:
                sys.stderr.write(f"HazardWarning: {finding}\n")
            else:
                self._warned.append((finding, same))
                warn(finding)

    # ---------------------------------------------------------------------------------------------------- patches

    def _wrap(self, cls: Any, name: str, make: Callable[[Any], Any]) -> None:
        original = cls.__dict__[name]
        setattr(cls, name, functools.wraps(original)(make(original)))
        self._undo.callback(setattr, cls, name, original)

    def _attach_after(self, original: Any) -> Any:
        def attached(optimizer: Any, *args: Any, **keywords: Any) -> Any:
            out = original(optimizer, *args, **keywords)
            self.attach(optimizer)
            return out

        return attached

    def _see_clear(self, original: Any) -> Any:
        def zero_grad(module: Any, *args: Any, **keywords: Any) -> Any:
            cleared = {id(p) for p in module.parameters()}
            with ExitStack() as stack:
                for watch in list(self._watches.values()):
                    if watch.owns_any(cleared):
                        stack.enter_context(watch.clearing(trail()))
                return original(module, *args, **keywords)

        return zero_grad

    def _see_skip(self, original: Any) -> Any:
        def stepped(scaler: Any, optimizer: Any, *args: Any, **keywords: Any) -> Any:
            watch = self._watches.get(optimizer)
            before = watch.steps if watch is not None else 0
            out = original(scaler, optimizer, *args, **keywords)
            if watch is not None and watch.steps == before:
                watch.excuse()
            return out

        return stepped

    def _take_along(self, original: Any) -> Any:
        def start(process: Any) -> Any:
            taken_along(process, self._action, self._report, self._process)
            return original(process)

        return start

    # ---------------------------------------------------------------------------------------------------- report

    def report(self) -> list[dict[str, Any]]:
        """The findings of this process, one object for each cause."""
        return [as_one(same) for same in self._causes.values()]

    def _write(self) -> None:
        if self._report is None:
            return
        objects = self.report()
        if os.getpid() != self._process:
            own = self._report.with_name(f"{self._report.name}.{os.getpid()}")
            if objects:
                own.write_text(json.dumps(objects), "utf-8")
            return
        if self._closing:
            for part in sorted(self._report.parent.glob(f"{self._report.name}.*")):
                if part.suffix[1:].isdigit():  # what a fork of this process has found
                    objects += json.loads(part.read_text("utf-8"))
                    part.unlink()
        self._report.write_text(json.dumps(objects, indent=2) + "\n", "utf-8")

    def forked(self) -> None:
        """In a fork: what the parent has found is the parent's to tell."""
        self.findings.clear()
        self._causes.clear()
        self._warned.clear()
        for watch in list(self._watches.values()):
            watch.forget()


def _after_fork(session: Session) -> None:
    """multiprocessing ends its forks without the interpreter's last functions; it has some of its own."""
    from multiprocessing import util

    def begin(held: Session) -> None:
        held.forked()
        util.Finalize(None, held.end, exitpriority=-100)

    util.register_after_fork(session, begin)


def best_names(optimizer: Any) -> dict[int, str]:
    """Names from the module that knows most of an optimizer's parameters, then from the one that knows most others.

    Of several, the largest module gives whole names (``encoder.0.weight``), and the shortest ones have no prefix of a
    wrapper.
    """
    wanted = {id(p) for p in owned(optimizer)}
    found: list[tuple[str, int, dict[int, str]]] = []
    kinds: dict[type, bool] = {}
    for candidate in gc.get_objects():
        kind = type(candidate)
        if kind not in kinds:
            kinds[kind] = issubclass(kind, nn.Module)
        if not kinds[kind]:
            continue
        try:
            named = {id(p): name for name, p in candidate.named_parameters()}
        except Exception:  # a module that is half made
            continue
        if not wanted.isdisjoint(named):
            found.append((kind.__name__, len(named), {key: name for key, name in named.items() if key in wanted}))
    known: dict[int, str] = {}
    while found:
        kind_name, _, best = max(found, key=lambda one: (len(one[2]), one[1], -sum(map(len, one[2].values()))))
        taken = set(known.values())
        known.update({key: f"{kind_name}.{name}" if name in taken else name for key, name in best.items()})
        rest = [
            (kind, size, {key: name for key, name in names.items() if key not in known}) for kind, size, names in found
        ]
        found = [one for one in rest if one[2]]
    return named_by(known, optimizer)


@contextmanager
def guarded_session(
    action: str = "keep", report: Path | None = None, *, parent: int | None = None
) -> Iterator[Session]:
    """A session for the length of a block."""
    held = Session(action, report, parent=parent)
    held.begin()
    try:
        yield held
    except BaseException:
        held.failed = True
        raise
    finally:
        held.end()
