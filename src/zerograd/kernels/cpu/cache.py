"""Compiled code on disk: a warm start loads it in a millisecond. Whatever goes wrong, the code is made anew.

The folder is $ZEROGRAD_CACHE, else $XDG_CACHE_HOME/zerograd, else ~/.cache/zerograd. Code from it runs in this process,
so it has to be private: owned by this user and closed to all others for writing, or it is not used. A file
holds the digest of its content and is written under another name first, so a half-written one is never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

LIMIT = 4000
"""Files in the folder, of a few thousand bytes each, from which on the oldest quarter is removed."""

_MAGIC = b"zerograd kernel 2\n"


def place() -> Path | None:
    """Where the cache belongs; None if this user has no home and nothing else is said."""
    if chosen := os.environ.get("ZEROGRAD_CACHE"):
        with contextlib.suppress(RuntimeError):  # ~someone, who is not known here
            return Path(chosen).expanduser().absolute()
        return None
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):  # the specification: a relative path is to be ignored
        return Path(base) / "zerograd"
    try:
        return Path.home() / ".cache" / "zerograd"
    except RuntimeError:
        return None


def refusal(folder: Path) -> str | None:
    """Why code from this folder must not run here, or None."""
    try:
        found = folder.stat()
    except OSError as error:
        return f"{folder} can't be read ({error.strerror})"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder"
    if not hasattr(os, "getuid"):
        return None  # no owners in this sense: the folder lies in the user's profile
    if found.st_uid != os.getuid():
        return f"{folder} belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{folder} can be written to by other users; chmod 700 it"
    return None


def _digest(name: str, code: bytes) -> bytes:
    """What a file starts with: code under another name is not good."""
    return hashlib.sha256(name.encode() + b"\n" + code).digest()


def read(name: str) -> bytes | None:
    """The code kept under a name; None if there is none, or none that can be trusted."""
    here = place()
    if here is None or refusal(here) is not None:
        return None
    try:
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link, and a pipe must not stop us
        handle = os.open(here / f"{name}.o", flags)
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or (hasattr(os, "getuid") and found.st_uid != os.getuid()):
                return None
            with open(handle, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(handle)
    except OSError:
        return None
    head = len(_MAGIC) + 32
    code = content[head:]
    whole = content[: len(_MAGIC)] == _MAGIC and content[len(_MAGIC) : head] == _digest(name, code)
    return code if whole else None


def write(name: str, code: bytes) -> None:
    """Keep code under a name, if the folder is there or can be made and is private; else do nothing."""
    here = place()
    if here is None:
        return
    with contextlib.suppress(OSError):
        here.mkdir(mode=0o700, parents=True, exist_ok=True)
        if refusal(here) is not None:
            return
        handle, temporary = tempfile.mkstemp(dir=here, suffix=".tmp")
        try:
            with open(handle, "wb") as file:
                file.write(_MAGIC + _digest(name, code) + code)
            os.replace(temporary, here / f"{name}.o")
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        _tidy(here)


def _tidy(folder: Path) -> None:
    """Keep the folder from growing for ever: the oldest files go, and what a process that was killed left behind."""
    ages = sorted((file.stat().st_mtime, file) for file in folder.iterdir() if file.suffix in (".o", ".tmp"))
    code = [file for _, file in ages if file.suffix == ".o"]
    old = code[: len(code) // 4] if len(code) > LIMIT else []
    old += [file for age, file in ages if file.suffix == ".tmp" and age < time.time() - 3600]
    for file in old:
        with contextlib.suppress(OSError):
            file.unlink()
