"""Whose parameters an expression gives: ``list(a.parameters()) + list(b.parameters())`` is of ``a`` and ``b``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from zerograd.linting.paths import DEPTH, Frame, Path, frame_of, name_of

if TYPE_CHECKING:
    from zerograd.linting.binding import Binder


def collected(binder: Binder, nodes: list[ast.expr], frame: Frame, found: set[Path]) -> bool:
    """Add the modules whose parameters expressions give; whether all of them were understood."""
    understood = bool(nodes)
    for node in nodes:
        understood = _collect(binder, node, frame, found, 0) and understood
    return understood


def _collect(binder: Binder, node: ast.expr, frame: Frame, found: set[Path], depth: int) -> bool:
    """Add the modules of an expression of parameters; whether all of it was understood."""
    if depth > DEPTH:
        return False
    calls = [
        inner
        for inner in ast.walk(node)
        if isinstance(inner, ast.Call) and name_of(inner.func) in ("parameters", "named_parameters")
    ]
    for call in calls:
        owner = binder.resolve(call.func.value, frame) if isinstance(call.func, ast.Attribute) else None
        if owner is None:
            return False
        found.add(owner)
    if calls:
        return True
    path = binder.resolve(node, frame)
    values = binder.values(path) if path is not None else []
    understood = bool(values)
    for v in values:
        inner = v.how == "is" and _collect(binder, v.expression, frame_of(v.scope), found, depth + 1)
        understood = inner and understood
    return understood
