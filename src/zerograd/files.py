"""Files that are either there as a whole or not at all, whatever ends the program: kill -9, a full disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to; the file gets its own name when all of it is on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a file. If it can't be written as a whole, the file is as long as it was before."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        length = os.fstat(descriptor).st_size
        data = line.encode()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                os.ftruncate(descriptor, length)
            raise
    finally:
        os.close(descriptor)


def sweep(folder: Path) -> None:
    """Remove the temporary files of programs that were killed. Only for a folder that no other program writes to."""
    for file in folder.glob(".*.*"):
        if file.name.rpartition(".")[2].isdigit():
            file.unlink(missing_ok=True)


def _flush(path: Path) -> None:
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
