"""Ctrl-C, SIGTERM, a terminal that hangs up: the first is a wish to stop after the step, the second leaves at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

SIGNALS = tuple(signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__)


class Stopped(KeyboardInterrupt):
    """A signal ended the work. signal: its number; a shell takes 128 and it for the exit code."""

    def __init__(self, message: str = "", signal: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = int(signal)


class Interrupts:
    """A context in which signals are wishes. asked: the number of the one that has come, or 0.

    Outside of the main thread none is caught. A signal that the caller ignores stays ignored, and the caller's handlers
    are back at the end.
    """

    def __init__(self, told: Callable[[], None] | None = None) -> None:
        self.asked = 0
        self._told = told
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                before = signal.getsignal(number)
                if before is not None and before is not signal.SIG_IGN:  # None: it was not set from Python
                    self._before[number] = before
                    signal.signal(number, self._first)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: Any, traceback: TracebackType | None) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _first(self, number: int, _: object) -> None:
        self.asked = number
        for each in self._before:
            signal.signal(each, _leave)
        if self._told is not None:
            self._told()


def _leave(number: int, _: object) -> None:
    raise Stopped(signal=number)
