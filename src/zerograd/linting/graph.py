"""The control-flow graph: what may follow what, with the events of the life of gradients on its nodes."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from functools import cached_property

from zerograd.linting.modules import Module
from zerograd.linting.paths import Path
from zerograd.linting.trees import names_in, walk_tree
from zerograd.stand_ins import Literal, dataclass, field

Kind = Literal["backward", "step", "clear", "unknown"]


@dataclass(frozen=True, eq=False)
class Event:
    """Something that happens to gradients.

    ``path``: the optimizer that steps or is cleared, or the module that is cleared; None where it may be any of them.
    ``every``: the optimizer is each one of a collection. ``module``: the file.
    """

    kind: Kind
    node: ast.expr | ast.stmt
    module: Module
    path: Path | None = None
    of_module: bool = False
    made: bool = False
    every: bool = False

    @property
    def line(self) -> int:
        return self.node.lineno

    def is_in(self, node: ast.AST, module: Module) -> bool:
        """Whether it stands in the lines of a statement, or a function, of this file."""
        last = getattr(node, "end_lineno", None) or 0
        return self.module is module and getattr(node, "lineno", 0) <= self.line <= last


@dataclass(frozen=True, eq=False)
class Guard:
    """A condition that must hold (``holds``) or fail for a node to be reached."""

    statement: ast.stmt
    test: ast.expr
    holds: bool
    module: Module

    @property
    def words(self) -> str:
        """The condition as it is written."""
        return self.module.once("words", self.test, ast.unparse)


@dataclass(eq=False)
class Loop:
    """A loop: its statement, its first node, whether it was entered in a function that is called."""

    node: ast.stmt | ast.expr
    header: int
    module: Module
    called: bool

    @cached_property
    def sets(self) -> set[str]:
        """The last names of all that is assigned in it."""
        return self.module.once("sets", self.node, _assigned)

    @cached_property
    def counters(self) -> set[str]:
        """The names that count its iterations: its targets, and what it adds to."""
        return self.module.once("counters", self.node, _counters)


def _assigned(loop: ast.AST) -> set[str]:
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in walk_tree(loop)
        if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store)
    }


def _counters(loop: ast.AST) -> set[str]:
    found: set[str] = set()
    if isinstance(loop, (ast.For, ast.AsyncFor)):
        found = names_in(loop.target)
    for inner in walk_tree(loop):
        if isinstance(inner, ast.AugAssign) and isinstance(inner.op, ast.Add):
            found.add(getattr(inner.target, "id", getattr(inner.target, "attr", "")))
    return found - {""}


@dataclass
class Graph:
    """Nodes are numbers; node 0 is the entry and node 1 the exit."""

    following: list[list[int]] = field(default_factory=list)
    events: list[Event | None] = field(default_factory=list)
    loops: list[tuple[Loop, ...]] = field(default_factory=list)
    guards: list[tuple[Guard, ...]] = field(default_factory=list)
    handlers: list[int] = field(default_factory=list)
    all_loops: list[Loop] = field(default_factory=list)
    overflown: bool = False

    ENTRY = 0
    EXIT = 1

    def add(self, event: Event | None, loops: tuple[Loop, ...], guards: tuple[Guard, ...]) -> int:
        self.following.append([])
        self.events.append(event)
        self.loops.append(loops)
        self.guards.append(guards)
        return len(self.following) - 1

    def link(self, source: int, target: int) -> None:
        if target not in self.following[source]:
            self.following[source].append(target)

    @cached_property
    def live_before(self) -> list[list[int]]:
        """Of each node, the ones right before it that a run may come to. To be asked of a graph that is whole."""
        before: list[list[int]] = [[] for _ in self.following]
        for source in sorted(self.reachable()):
            for target in self.following[source]:
                before[target].append(source)
        return before

    def reachable(self) -> set[int]:
        """All nodes that a run may come to."""
        waiting = [self.ENTRY, *self.handlers]
        seen = set(waiting)
        for node in waiting:
            for target in self.following[node]:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return seen

    def at(self, kind: Kind) -> Iterable[tuple[int, Event]]:
        return [(node, event) for node, event in enumerate(self.events) if event is not None and event.kind == kind]


def walk(edges: list[list[int]], starts: Iterable[int], stop: Callable[[int], bool]) -> Iterable[int]:
    """The nodes reached from ``starts``, themselves included; beyond a node that stops, it goes no further."""
    seen = set(starts)
    waiting = list(seen)
    while waiting:
        node = waiting.pop()
        yield node
        if stop(node):
            continue
        for target in edges[node]:
            if target not in seen:
                seen.add(target)
                waiting.append(target)


def reach(
    edges: list[list[int]], node: int, stops: set[int], inside: set[int] | None = None, avoiding: int = -1
) -> set[int]:
    """The nodes reached from those after a node; beyond one of ``stops``, or one that is not ``inside``, it ends."""
    seen = set(edges[node])
    waiting = list(seen)
    for at in waiting:
        if at in stops or at == avoiding or (inside is not None and at not in inside):
            continue
        for target in edges[at]:
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen
