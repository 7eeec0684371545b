"""Processes that are started anew, by ``spawn`` or ``forkserver``: they begin with an empty interpreter, so what is to
run in one takes the session along."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Guarded:
    """A process's target, in a session of its own. parent: the process whose report its findings go to."""

    target: Callable[..., Any]
    action: str
    report: Path | None
    parent: int

    def __call__(self, *args: Any, **keywords: Any) -> Any:
        """Call the target, guarded."""
        from zerograd.lifecycle.sessions import guarded_session

        with guarded_session(self.action, self.report, parent=self.parent):
            return self.target(*args, **keywords)


def taken_along(process: Any, action: str, report: Path | None, parent: int) -> None:
    """Before a process starts: have it guarded, unless it is a fork, which is anyway."""
    method = getattr(process, "_start_method", None) or multiprocessing.get_start_method()
    if method != "fork" and getattr(process, "_target", None) is not None:
        process._target = Guarded(process._target, action, report, parent)
