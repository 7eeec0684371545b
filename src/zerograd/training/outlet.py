"""The output of a work that does not end because its words can't be written any more."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TextIO

from zerograd.files import let_go


class Outlet:
    """A stream such as the standard output. When it fails that is said once, and later words are dropped.

    It fails when its reader is gone (`| head`), its disk is full (`> log`), or its terminal is closed.
    """

    def __init__(self, stream: TextIO, told: TextIO | None = None) -> None:
        self._stream = stream
        self._told = told
        self._failed = False

    def write(self, text: str) -> int:
        """Write ``text``, as long as that is possible."""
        if not self._failed:
            try:
                self._stream.write(text)
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Have the system take what was written."""
        if not self._failed:
            try:
                self._stream.flush()
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._failed = True
        let_go(self._stream)
        if self._told is not None:
            with suppress(OSError):
                self._told.write(
                    f"zerograd: Can't write the output any more: {error.strerror}. "
                    "The training goes on, and its folder has all of it.\n"
                )
                self._told.flush()

    def __getattr__(self, name: str) -> Any:
        """All else is the stream's own: whether it is a terminal, its encoding, its number."""
        return getattr(self._stream, name)
