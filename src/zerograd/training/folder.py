"""The folder of a run: config.json, record.jsonl, checkpoints, curves.png, model.safetensors.

A run never writes into another run's folder, and no file is ever half written: a file appears under its name when it
is complete, and the record grows by whole lines. config.json is the first file: with it a folder is a run.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zerograd.errors import RunError, UsageError, nearest
from zerograd.files import append_line, flush, replacing, sweep
from zerograd.training.record import Line, json_line, read_lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

RUNS = Path("runs")
MADE_BY_FIT = "zerograd.training.fit"
CONFIG, RECORD, CURVES, MODEL = "config.json", "record.jsonl", "curves.png", "model.safetensors"
CHECKPOINTS = "checkpoints"


class RunFolder:
    """A folder that belongs to one run. Make it with ``claim``, find it again with ``of``."""

    def __init__(self, path: Path, made_by: object = None, *, made: bool = False) -> None:
        self.path = path
        self._made = made
        self.made_by_fit = made_by == MADE_BY_FIT

    @property
    def go_on(self) -> str:
        """How to go on with the run."""
        if self.made_by_fit:
            return f"call fit() again, with out={str(self.path)!r} and resume=True"
        return f"zerograd train --resume {self.path}"

    @classmethod
    def claim(cls, out: Path | None, title: str, config: Mapping[str, object]) -> RunFolder:
        """Take ``out``, or the first free one of runs/title-1, runs/title-2, ... No two processes get the same."""
        wanted = out if out is not None else RUNS
        text = json.dumps(config, indent=2, allow_nan=False) + "\n"
        try:
            if wanted.exists() and not wanted.is_dir():
                raise UsageError(f"Can't write a run to {wanted}: it is a file. Name a folder with --out.")
            made = out is None or not wanted.exists()
            path = wanted if out is not None else _next_free(RUNS, title)
            path.mkdir(parents=True, exist_ok=True)
            for name in (CONFIG, CURVES, MODEL, RECORD):
                if (path / name).exists():
                    raise FileExistsError
            _create(path / CONFIG, text)  # of two processes that come this far, one is the first
            (path / RECORD).touch()
        except FileExistsError as error:
            raise UsageError(
                f"{wanted} holds a run already, and no run is ever overwritten. Name another folder with --out, "
                f"or go on with it: {cls(wanted, config.get('made_by')).go_on}"
            ) from error
        except OSError as error:
            raise UsageError(
                f"Can't write a run to {wanted}: {error.strerror}. Name another folder with --out."
            ) from error
        return cls(path, config.get("made_by"), made=made)

    def release(self) -> None:
        """Give a folder back in which nothing was trained: a refused run leaves nothing that the next one meets."""
        with suppress(OSError):  # a folder that is not empty stays: what is in it is not ours
            for name in (RECORD, CONFIG):
                (self.path / name).unlink(missing_ok=True)
            if self._made:
                self.path.rmdir()

    @classmethod
    def of(cls, path: Path) -> RunFolder:
        """The folder of a run that was begun. Raises UsageError if there is none."""
        if not path.is_dir():
            others = sorted(str(other) for other in path.parent.glob("*") if (other / CONFIG).is_file())
            near = nearest(str(path), others)
            hint = f" Did you mean {near}?" if near else f" There are {', '.join(others[-5:])}." if others else ""
            raise UsageError(f"There is no folder {path}.{hint}")
        if not (path / CONFIG).is_file():
            raise UsageError(f"{path} holds no run: there is no {CONFIG}. Begin one with --out {path}")
        found = cls(path)
        return cls(path, found.config.get("made_by"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from training in the same folder; the lock goes with the process, however it ends.

        What killed programs have left in the folder is removed then.
        """
        try:
            import fcntl
        except ImportError:  # Windows
            self._sweep()
            yield
            return
        with open(self.path / CONFIG) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(f"{self.path} is being trained by another process.") from error
            except OSError:  # a file system without locks
                pass
            self._sweep()
            yield

    def _sweep(self) -> None:
        sweep(self.path, (CONFIG, RECORD, CURVES, MODEL))
        sweep(self.path / CHECKPOINTS, ("*.pt",))

    @property
    def config(self) -> dict[str, Any]:
        """What the run was made with."""
        try:
            config: dict[str, Any] = json.loads((self.path / CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UsageError(f"{self.path / CONFIG} is not JSON: {error}") from error
        return config

    @property
    def lines(self) -> list[Line]:
        """The record so far."""
        return read_lines(self.path / RECORD) if (self.path / RECORD).exists() else []

    def cut(self, epochs: int) -> list[Line]:
        """Leave the first epochs in the record: later ones will be written again."""
        lines = [line for line in self.lines if line["epoch"] <= epochs]
        with self._written(RECORD) as file:
            file.write_text("".join(map(json_line, lines)), encoding="utf-8")
        return lines

    def append_record(self, numbers: Mapping[str, float]) -> None:
        """One more line of the record."""
        self._record(lambda path: append_line(path, json_line(numbers)))

    def flush_record(self) -> None:
        """Have the disk take all lines, so that not even a loss of power takes them."""
        self._record(flush)

    def _record(self, act: Callable[[Path], None]) -> None:
        try:
            act(self.path / RECORD)
        except OSError as error:
            raise self._unwritten(RECORD, error) from error

    def write_model(self, model: nn.Module) -> None:
        """The model's weights and buffers."""
        from safetensors.torch import save

        state = {name: value.detach().clone().contiguous() for name, value in model.state_dict().items()}
        with self._written(MODEL) as file:
            file.write_bytes(save(state))

    def write_curves(self, figure: Figure) -> None:
        """The picture."""
        with self._written(CURVES) as file:
            figure.savefig(file, format="png")

    @contextmanager
    def _written(self, name: str) -> Iterator[Path]:
        try:
            with replacing(self.path / name) as file:
                yield file
        except OSError as error:
            raise self._unwritten(name, error) from error

    def _unwritten(self, name: str, error: OSError) -> RunError:
        return RunError(
            f"Can't write {self.path / name}: {error.strerror or error}. "
            f"What was written before is whole: make room, then {self.go_on}"
        )


def _create(path: Path, text: str) -> None:
    """A new file, whole from its first moment on. Raises FileExistsError if another process was the first."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{id(text)}")
    try:
        with open(temporary, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            with open(path, "x", encoding="utf-8") as file:
                file.write(text)
    finally:
        temporary.unlink(missing_ok=True)


def _next_free(parent: Path, title: str) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = parent / f"{title}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue
        break
    return path
