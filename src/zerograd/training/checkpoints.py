"""The checkpoints of a run: checkpoints/last.pt, best.pt and, if more are kept, step-00000123.pt.

Whenever the program ends, every file that has its name is whole, and last.pt is there from before the first step on.
best.pt is written before the last.pt that tells of it: whoever goes on from an older last.pt finds the same best again.
"""

from __future__ import annotations

import copy
import io
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from zerograd.errors import RunError, UsageError
from zerograd.files import replacing
from zerograd.training.folder import CHECKPOINTS, RunFolder

LAST, BEST = "last.pt", "best.pt"

SECONDS = 1.0
"""Epochs that are shorter share a checkpoint: this much work is the most that kill -9 can take."""


class Checkpoints:
    """The checkpoints in a run's folder. keep: how many by their steps, besides the last one and the best one."""

    def __init__(self, run: RunFolder, keep: int = 0) -> None:
        self.folder = run.path / CHECKPOINTS
        self.keep = keep
        self._run = run
        self._last: tuple[Mapping[str, Any], int] | None = None
        self._best: Mapping[str, Any] | None = None
        self._written = -SECONDS

    def begin(self, state: Mapping[str, Any], more: int = 0) -> None:
        """Write the state before the first step. more: bytes that later ones will have besides.

        Raises UsageError for a run that can't be kept, or for which there is no room, before anything is written.
        """
        data = loadable(state)
        self._check_room(len(data) + more)
        self._put(data, 0)

    def write(self, state: Mapping[str, Any], step: int, *, best: bool = False, at_once: bool = True) -> None:
        """Write the state after ``step`` steps. Raises RunError if the disk does not take it; nothing is lost then.

        Unless ``at_once``, a copy waits in memory for the next one if there was one within a second; ``close()`` writes
        it too. Where older ones are kept none waits.
        """
        due = at_once or self.keep or time.monotonic() - self._written >= SECONDS
        if not due:
            state = _copied(state)  # the next steps change its tensors
        self._last = state, step
        if best:
            self._best = state
        if due:
            self._write()

    def close(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:  # noqa: ARG002
        """Write what waits, whatever ended the run; an error that has ended it is the one to tell."""
        with suppress(*(() if kind is None else (RunError,))):
            self._write()

    def _write(self) -> None:
        if self._last is None:
            return
        (state, step), best, self._last, self._best = self._last, self._best, None, None
        if best is not None and best is not state:
            with self._told(), replacing(self.folder / BEST) as file:
                file.write_bytes(packed(best))
        self._put(packed(state), step, best=best is state)

    def _put(self, data: memoryview, step: int, *, best: bool = False) -> None:
        """Write one file, under all the names that it has."""
        self._run.flush_record()  # a checkpoint never knows of an epoch that the record lacks
        names = [self.folder / f"step-{step:08d}.pt"] if self.keep else []
        with self._told():
            self.folder.mkdir(exist_ok=True)
            with replacing(self.folder / LAST, [*names, self.folder / BEST] if best else names) as file:
                file.write_bytes(data)
        self._written = time.monotonic()
        for old in self.by_steps()[: -self.keep or None]:
            old.unlink(missing_ok=True)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(
                f"Can't write a checkpoint to {self.folder}: {error.strerror}. "
                f"What was written before is whole: make room, then {self._run.go_on}"
            ) from error

    def _check_room(self, size: int) -> None:
        """Refuse to begin where there is no room for what the run will write."""
        needed = size * (3 + self.keep)  # the last, the best, and the next one beside them
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


def packed(state: Mapping[str, Any]) -> memoryview:
    """A state as the bytes of a file: written at once, so that a full disk is an OSError and nothing else."""
    stream = io.BytesIO()
    torch.save(dict(state), stream)
    return stream.getbuffer()


def loadable(state: Mapping[str, Any]) -> memoryview:
    """``packed(state)``. Raises UsageError if reading it would run code, such as functions in groups."""
    try:
        data = packed(state)
        torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # pickle's own errors are of many kinds
        reason = str(error).split("\n")[0]
        raise UsageError(
            "This run can't be kept: its optimizer, scheduler or model holds what is neither tensor nor number. "
            + reason
        ) from error
    return data


def _copied(value: Any) -> Any:
    """``copy.deepcopy(value)``, in a fifth of its time for what a state is made of."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        same = copy.copy(value)  # keeps what else it has: a module's versions are an attribute of its state dict
        for name in same:
            same[name] = _copied(same[name])
        return same
    if type(value) in (list, tuple):
        return type(value)(map(_copied, value))
    return value if value is None or isinstance(value, (str, int, float)) else copy.deepcopy(value)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """The state in a run's file, on the CPU. Code in it is not run: weights_only=True.

    ``model``: the weights, as the model's ``state_dict()``; ``evaluated``: the same with the average, of an optimizer
    that has one; ``optimizer``, ``scheduler``, ``scaler``, ``randomness``: where each stands; ``progress``: how far the
    run is; ``best``: the best epoch so far. Raises FileNotFoundError, and UsageError for a file that can't be read.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what torch raises over bytes that are no checkpoint is of many kinds
        reason = str(error).split("\n")[0]
        raise UsageError(
            f"{path} is no checkpoint, or a damaged one ({reason}). "
            "Another checkpoint of the run can be put in its place."
        ) from error
    return state
