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
from pathlib import Path

_MAGIC = b"zerograd kernel 1\n"


def place() -> Path | None:
    """Where the cache belongs; None if this user has no home and nothing else is said."""
    if chosen := os.environ.get("ZEROGRAD_CACHE"):
        return Path(chosen).expanduser().absolute()
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


def read(name: str) -> bytes | None:
    """The code kept under a name; None if there is none, or none that can be trusted."""
    here = place()
    if here is None or refusal(here) is not None:
        return None
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with open(os.open(here / f"{name}.o", flags), "rb") as file:
            found = os.fstat(file.fileno())
            if hasattr(os, "getuid") and found.st_uid != os.getuid():
                return None
            content = file.read()
    except OSError:
        return None
    head = len(_MAGIC) + 32
    code = content[head:]
    whole = content[: len(_MAGIC)] == _MAGIC and content[len(_MAGIC) : head] == hashlib.sha256(code).digest()
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
                file.write(_MAGIC + hashlib.sha256(code).digest() + code)
            os.replace(temporary, here / f"{name}.o")
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
