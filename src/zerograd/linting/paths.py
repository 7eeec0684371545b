"""Paths: names for what lives through a run; and frames, in which names are looked up."""

from __future__ import annotations

import ast

from zerograd.linting.scopes import Class, Function, Scope
from zerograd.stand_ins import dataclass, field

DEPTH = 8
SAME = frozenset({"to", "cuda", "cpu", "train", "eval", "double", "half", "float", "requires_grad_", "compile"})
WRAPPERS = frozenset({"DataParallel", "DistributedDataParallel", "DDP", "FSDP", "compile", "unwrap_model", "prepare"})

KEY = r"""\[\s*(?:(-?\d+)|['"](\w+)['"])\s*\]"""
"""An index or a key that is a constant, in a text: one of the two groups is what ``Path.key`` gives."""


class Path:
    """Something that lives through a run: a name of a scope or an instance's attribute. ``home``: scope or class."""

    __slots__ = ("_hash", "home", "parts")

    def __init__(self, home: Scope | Class, parts: tuple[str, ...]) -> None:
        self.home = home
        self.parts = parts
        self._hash = hash((home, parts))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and self.home is other.home and self.parts == other.parts

    def __str__(self) -> str:
        return ".".join(self.parts).replace(".[", "[").replace("[?", "[").replace(".()", "()")

    def extended(self, *more: str) -> Path:
        return Path(self.home, self.parts + more)

    @property
    def last(self) -> str:
        """The last part that is a name."""
        return next((part for part in reversed(self.parts) if part[0] not in "[(*"), self.parts[-1])

    @property
    def key(self) -> str | None:
        """The constant index or key, as text, of an element; None if it is no element, or its key is not known."""
        part = self.parts[-1]
        return part[1:-1] if part[0] == "[" and part[1] != "?" else None

    @property
    def whole(self) -> Path:
        """The collection that it is an element of; itself if it is none."""
        parts = self.parts
        while len(parts) > 1 and parts[-1][0] in "[*":
            parts = parts[:-1]
        return self if parts is self.parts else Path(self.home, parts)


@dataclass
class Frame:
    """A function at work: what its parameters are bound to there."""

    scope: Scope
    parent: Frame | None = None
    bound: dict[str, Path] = field(default_factory=dict)
    callables: dict[str, tuple[Function, Frame]] = field(default_factory=dict)


def frame_of(scope: Scope) -> Frame:
    """A function of which no caller is known."""
    frame = Frame(scope, frame_of(scope.parent) if scope.parent is not None else None)
    if scope.owner is not None and scope.parameters:
        frame.bound[scope.parameters[0]] = Path(scope.owner, (scope.parameters[0],))
    return frame


def name_of(node: ast.expr) -> str:
    """The last name of a callee."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def bare(node: ast.expr) -> ast.expr:
    """``Net().to(device)`` as ``Net()``; ``a or b`` as ``b``."""
    for _ in range(DEPTH):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAME:
            if isinstance(node.func.value, ast.Name):
                break
            node = node.func.value
        elif isinstance(node, ast.Call) and name_of(node.func) in WRAPPERS and node.args:
            node = node.args[0]
        elif isinstance(node, ast.BoolOp):
            node = node.values[-1]
        else:
            break
    return node
