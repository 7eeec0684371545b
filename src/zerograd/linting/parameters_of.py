"""Whose parameters an expression gives: ``list(a.parameters()) + list(b.parameters())`` is of ``a`` and ``b``."""

from __future__ import annotations

import ast

from zerograd.linting.paths import Frame, Path, frame_of, name_of
from zerograd.linting.scopes import Scope
from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.linting.binding import Binder

MOST = 32
"""So many names are followed."""


def collected(binder: Binder, nodes: list[ast.expr], frame: Frame, found: set[Path]) -> bool:
    """Add the modules whose parameters expressions give; whether all of them were understood."""
    understood, paths = bool(nodes), dict[Path, bool]()
    for node in nodes:
        understood = _collect(binder, node, frame, found, paths) and understood
    return understood


def _as_held(path: Path) -> Path:
    """A module as the object calls it that keeps it: ``self.net`` where a method has said ``self.net = net``."""
    home = path.home
    if not isinstance(home, Scope) or home.owner is None or not home.parameters:
        return path
    if len(home.values.get(path.parts[0], ())) > (path.parts[0] not in home.parameters):
        return path  # it was something else before, or is later
    for parts, values in home.owner.attributes.items():
        if len(values) == 1 and values[0].how == "is" and values[0].scope is home:
            expression = values[0].expression
            if isinstance(expression, ast.Name) and expression.id == path.parts[0]:
                return Path(home.owner, (home.parameters[0], *parts, *path.parts[1:]))
    return path


def _collect(binder: Binder, node: ast.expr, frame: Frame, found: set[Path], paths: dict[Path, bool]) -> bool:
    """Add the modules of an expression of parameters; whether all of it was understood.

    ``paths``: those that were followed. Each is followed once: names that stand for one another would never end.
    """
    calls = [
        inner
        for inner in ast.walk(node)
        if isinstance(inner, ast.Call) and name_of(inner.func) in ("parameters", "named_parameters")
    ]
    for call in calls:
        owner = binder.resolve(call.func.value, frame) if isinstance(call.func, ast.Attribute) else None
        if owner is None:
            return False
        found.add(_as_held(owner))
    if calls:
        return True
    path = binder.resolve(node, frame)
    if path is None or path in paths or len(paths) > MOST:
        return path is not None and paths.get(path, False)
    paths[path] = False  # as long as it is being followed
    values = binder.values(path)
    understood = bool(values)
    for v in values:
        inner = v.how == "is" and _collect(binder, v.expression, frame_of(v.scope), found, paths)
        understood = inner and understood
    paths[path] = understood
    return understood
