"""The checkpoints of a run: checkpoints/last.pt, best.pt and, if more are kept, step-00000123.pt.

Whenever the program ends, every file that has its name is whole, and last.pt is there from before the first step on.
best.pt is written before the last.pt that tells of it: whoever goes on from an older last.pt finds the same best again.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from zerograd.errors import RunError, UsageError
from zerograd.files import replacing
from zerograd.training.folder import RunFolder

FOLDER, LAST, BEST = "checkpoints", "last.pt", "best.pt"

SECONDS = 1.0
"""Epochs that are shorter share a checkpoint: this much work is the most that kill -9 can take."""


class Checkpoints:
    """The checkpoints in a run's folder. keep: how many by their steps, besides the last one and the best one."""

    def __init__(self, run: RunFolder, keep: int = 0) -> None:
        self.folder = run.path / FOLDER
        self.keep = keep
        self._run = run
        self._last: tuple[bytes, int] | None = None
        self._best: bytes | None = None
        self._written = -SECONDS

    def write(self, state: Mapping[str, Any], step: int, *, best: bool = False, at_once: bool = True) -> None:
        """Write the state after ``step`` steps. Raises RunError if the disk does not take it; nothing is lost then.

        Unless ``at_once``, it waits in memory for the next one if there was one within a second; ``close()`` writes it
        too. Where older ones are kept none waits.
        """
        data = packed(state)
        self._last = data, step
        if best:
            self._best = data
        if at_once or self.keep or time.monotonic() - self._written >= SECONDS:
            self._write()

    def close(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:  # noqa: ARG002
        """Write what waits, whatever ended the run; an error that has ended it is the one to tell."""
        with suppress(*(() if kind is None else (RunError,))):
            self._write()

    def _write(self) -> None:
        if self._last is None:
            return
        (data, step), best, self._last, self._best = self._last, self._best, None, None
        try:
            self.folder.mkdir(exist_ok=True)
            if best is not None and best is not data:
                with replacing(self.folder / BEST) as file:
                    file.write_bytes(best)
            with replacing(self.folder / LAST) as file:
                with open(file, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                if self.keep:
                    _also(file, self.folder / f"step-{step:08d}.pt")
                if best is data:
                    _also(file, self.folder / BEST)
        except OSError as error:
            raise RunError(
                f"Can't write a checkpoint to {self.folder}: {error.strerror}. "
                f"What was written before is whole: make room, then {self._run.go_on}"
            ) from error
        self._written = time.monotonic()
        for old in self.by_steps()[: -self.keep or None]:
            old.unlink(missing_ok=True)

    def check_room(self, state: Mapping[str, Any], more: int = 0) -> None:
        """Refuse to begin where there is no room for what the run will write. more: bytes that are still to come."""
        needed = (len(packed(state)) + more) * (3 + self.keep)  # the last, the best, and the next one beside them
        free = shutil.disk_usage(self._run.path).free
        if free < needed:
            raise UsageError(
                f"The checkpoints need {needed / 1e6:,.1f} MB, and {self._run.path} has {free / 1e6:,.1f} MB. "
                "Make room, keep fewer with --keep, or name another folder with --out."
            )

    def read_last(self) -> dict[str, Any] | None:
        """The state to go on from; None before the first one was written."""
        try:
            return read_checkpoint(self.folder / LAST)
        except FileNotFoundError:
            return None

    def by_steps(self) -> list[Path]:
        """The checkpoints that were kept by their steps, the oldest first."""
        return sorted(self.folder.glob("step-*.pt"))


def packed(state: Mapping[str, Any]) -> bytes:
    """A state as the bytes of a file: written at once, so that a full disk is an OSError and nothing else."""
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    return stream.getvalue()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a file. Code in it is not run: weights_only=True."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def check_loadable(state: Mapping[str, Any]) -> None:
    """Refuse a state that could be written but not be read without running code, such as functions in groups."""
    try:
        torch.load(io.BytesIO(packed(state)), weights_only=True)
    except Exception as error:  # pickle's own errors are of many kinds
        reason = str(error).split("\n")[0]
        raise UsageError(
            "This run can't be kept: its optimizer, scheduler or model holds what is neither tensor nor number. "
            + reason
        ) from error


def _also(file: Path, name: Path) -> None:
    """Give a file that is on the disk one more name, at once. A file system without links gets a copy."""
    other = name.with_name(f".{name.name}.{os.getpid()}")
    try:
        os.link(file, other)
        os.replace(other, name)
    except OSError:
        with replacing(name) as copy:
            shutil.copyfile(file, copy)
    finally:
        other.unlink(missing_ok=True)
