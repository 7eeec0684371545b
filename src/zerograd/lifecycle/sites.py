"""Where in the user's program something happens: the frames that are neither torch's nor ours."""

from __future__ import annotations

import ast
import functools
import linecache
import os
import sys
import sysconfig
from types import CodeType, FrameType
from typing import NamedTuple

import torch

_HERE = os.path.dirname(os.path.abspath(__file__))
_PACKAGE = os.path.dirname(_HERE)
_MACHINERY = tuple(
    os.path.join(folder, "")
    for folder in (
        os.path.dirname(torch.__file__),
        _HERE,
        os.path.join(_PACKAGE, "engine"),
        os.path.join(_PACKAGE, "cli"),
    )
)
_LIBRARIES = tuple(
    {os.path.join(sysconfig.get_path(name), "") for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_USERS, _LIBRARY, _MACHINE = range(3)

DEPTH = 5
"""How many of the user's frames tell two calls apart: enough for a helper that is called from several places."""


class Site(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


Trail = tuple[Site, ...]
"""The user's frames, the innermost first. Empty if there are none."""

_kinds: dict[CodeType, int] = {}


def trail() -> Trail:
    """Where the program is now. No frame is kept."""
    found: list[Site] = []
    library: Site | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and len(found) < DEPTH:
        code = frame.f_code
        kind = _kinds.get(code)
        if kind is None:
            kind = _kinds[code] = _kind_of(code.co_filename)
        if kind == _USERS:
            found.append(Site(code.co_filename, frame.f_lineno or 0))
        elif kind == _LIBRARY and library is None:
            library = Site(code.co_filename, frame.f_lineno or 0)
        frame = frame.f_back
    return tuple(found) if found else (library,) if library is not None else ()


def is_handled(where: Trail) -> bool:
    """Whether a call came from inside a ``try`` whose handlers do something to a ``grad``, as after lack of memory."""
    return any(site.line in _lines_with_handlers(site.file) for site in where)


@functools.cache
def _lines_with_handlers(file: str) -> frozenset[int]:
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return frozenset()
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try) and any(map(_names_grad, node.handlers))]
    return frozenset(line for node in tries for line in range(node.body[0].lineno, (node.body[-1].end_lineno or 0) + 1))


def _names_grad(handler: ast.AST) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr == "grad" for node in ast.walk(handler))


def _kind_of(file: str) -> int:
    if file.startswith(_MACHINERY) or file.startswith("<frozen"):
        return _MACHINE
    return _LIBRARY if file.startswith(_LIBRARIES) and not file.startswith(os.path.join(_PACKAGE, "")) else _USERS
