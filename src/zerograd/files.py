"""Files that are either there as a whole or not at all, whatever ends the program: kill -9, a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO


@contextmanager
def replacing(path: Path, also: Iterable[Path] = ()) -> Iterator[Path]:
    """A temporary name to write to; the file gets its own name when all of it is on the disk.

    also: names in the same folder that it gets too, just before its own.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        flush(temporary)
        for name in also:
            _name(temporary, name)
        os.replace(temporary, path)
        flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file. If it can't be written as a whole, the file is as long as it was before.

    kill -9 takes nothing of it; a loss of power may, until ``flush(path)``.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        length = os.fstat(descriptor).st_size
        data = line.encode()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except BaseException:
            with suppress(OSError):
                os.ftruncate(descriptor, length)
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path, names: Iterable[str]) -> None:
    """Remove what killed programs left of the files ``names`` (patterns), and nothing else that is in the folder."""
    for name in names:
        for file in folder.glob(f".{name}.*"):
            if file.name.rpartition(".")[2].isdigit():
                file.unlink(missing_ok=True)


def let_go(stream: TextIO) -> None:
    """Send nowhere what a stream still holds and all that is to come: Python would try to write it at its end."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _name(file: Path, name: Path) -> None:
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


def flush(path: Path) -> None:
    """Have the disk take what the system still keeps of a file, or the names in a folder."""
    if path.is_dir():
        if os.name == "nt":
            return  # a folder can't be opened there
        with suppress(OSError):  # some network file systems refuse it; the names are theirs to keep
            _fsync(path, os.O_RDONLY)
    else:
        _fsync(path, os.O_RDWR)


def _fsync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
