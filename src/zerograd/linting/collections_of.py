"""Loops over collections of optimizers: which optimizer each turn has."""

from __future__ import annotations

import ast

from zerograd.linting.binding import Binder
from zerograd.linting.graph import Loop
from zerograd.linting.literals import MOST, literal_of, parts_of
from zerograd.linting.paths import Frame, Path
from zerograd.linting.patterns import pattern
from zerograd.linting.scopes import chain
from zerograd.linting.trees import names_in

WORD = pattern(r"\w+")


def elements(target: ast.expr, iterable: ast.expr, frame: Frame, binder: Binder) -> list[dict[str, Path]] | None:
    """For a loop over optimizers: the names that each turn binds. None for any other loop."""
    target, iterable = _counted(target, iterable)
    names = [part.id if isinstance(part, ast.Name) else "" for part in getattr(target, "elts", [target])]
    sources = _sources(iterable, len(names))
    turns: list[dict[str, Path]] | None = None
    for name, source in zip(names, sources, strict=False):
        if not name or source is None:
            continue
        each = _each(source, frame, binder, by_key=source is iterable)
        if each is None:
            continue
        if turns is None:
            turns = [{} for _ in each]
        if len(each) != len(turns):
            return None
        for turn, path in zip(turns, each, strict=True):
            turn[name] = path
    return turns


def is_another_each_time(path: Path, loop: Loop) -> bool:
    """Whether each turn of a loop has an optimizer of its own: ``for agent in agents: agent.optimizer.step()``."""
    if not isinstance(loop.node, (ast.For, ast.AsyncFor)):
        return False
    indices = WORD.findall(" ".join(part for part in path.parts if part.startswith("[?")))
    return not names_in(loop.node.target).isdisjoint({path.parts[0], *indices})


def is_some_element(binder: Binder, path: Path) -> bool:
    """Whether a path is of any element of a collection: of what a loop walks through, or ``agents[i]``."""
    root = Path(path.home, path.parts[:1])
    return any(part.startswith("[?") for part in path.parts) or any(
        value.how.startswith("item") for value in binder.values(root)
    )


def _counted(target: ast.expr, iterable: ast.expr) -> tuple[ast.expr, ast.expr]:
    """``for i, x in enumerate(xs)`` as ``for x in xs``."""
    parts: list[ast.expr] = getattr(target, "elts", [])
    if not (isinstance(iterable, ast.Call) and len(parts) == 2 and iterable.args):
        return target, iterable
    return (parts[1], iterable.args[0]) if getattr(iterable.func, "id", "") == "enumerate" else (target, iterable)


def _sources(iterable: ast.expr, count: int) -> list[ast.expr | None]:
    """The collection that each name of a loop's target walks through."""
    if isinstance(iterable, ast.Call):
        name = getattr(iterable.func, "id", getattr(iterable.func, "attr", ""))
        if name == "zip" and count == len(iterable.args):
            return list(iterable.args)
        if name in ("reversed", "list", "tuple") and iterable.args:
            return _sources(iterable.args[0], count)
        if isinstance(iterable.func, ast.Attribute) and name == "items" and count == 2:
            return [None, iterable.func.value]
        if isinstance(iterable.func, ast.Attribute) and name == "values" and count == 1:
            return [iterable.func.value]
    return [iterable] if count == 1 else [None] * count


def _each(node: ast.expr, frame: Frame, binder: Binder, by_key: bool) -> list[Path] | None:
    """The optimizers of a collection: each one of a literal, or one that stands for all.

    ``by_key``: a loop over a dictionary walks through its keys, and what it does is done to ``optimizers[key]``.
    """
    literal: ast.expr | None = node if isinstance(node, (ast.List, ast.Tuple, ast.Set, ast.Dict)) else None
    path = binder.resolve(node, frame)
    if literal is None and path is not None:
        literal = literal_of(binder.values(path))
    if isinstance(literal, ast.Dict) and by_key:
        literal = None
    if literal is not None:
        found = _elements(literal, path, frame, binder)
        if found is not None:
            return found if all(map(binder.is_optimizer, found)) else None
    if path is None or not binder.is_optimizer(path):
        return None
    return None if path.parts[-1] in ("param_groups", "state") else [path.extended("*")]


def _elements(literal: ast.expr, path: Path | None, frame: Frame, binder: Binder) -> list[Path] | None:
    """The paths of the elements of a literal: as they are called, or as elements of the collection."""
    parts: list[ast.expr] = literal.values if isinstance(literal, ast.Dict) else literal.elts  # type: ignore[attr-defined]
    if 0 < len(parts) <= MOST and all(map(chain, parts)):
        found = [binder.resolve(part, frame) for part in parts]
        return [part for part in found if part is not None] if None not in found else []
    keys = parts_of(literal)
    return [path.extended(key) for key in keys] if path is not None and keys else None
