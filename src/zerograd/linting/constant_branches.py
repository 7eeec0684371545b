"""Ways through a function on which conditions hold that never change there: ``if scaler is not None``, and its else.

What one branch does, another one may lack. Rules that look at a whole loop see the events of both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable

from zerograd.linting.context import Context
from zerograd.linting.graph import Guard, Loop
from zerograd.linting.modules import Module
from zerograd.linting.state import View
from zerograd.linting.windowing import names_without_calls
from zerograd.stand_ins import dataclass

Fact = tuple[str, bool]
"""The words of a condition, and whether it holds."""
NEGATIVE: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.IsNot: ast.Is, ast.NotEq: ast.Eq, ast.NotIn: ast.In}


def known_by(test: ast.expr, holds: bool) -> dict[Fact, ast.expr]:
    """What is known where a condition holds, or fails: of ``a and b`` both parts, of ``x is not None`` the opposite."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return known_by(test.operand, not holds)
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) is holds:
        return {fact: part for value in test.values for fact, part in known_by(value, holds).items()}
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in NEGATIVE:
        positive = ast.Compare(test.left, [NEGATIVE[type(test.ops[0])]()], test.comparators)
        return {(ast.unparse(positive), not holds): test}
    return {(ast.unparse(test), holds): test}


def known_at(guards: Iterable[Guard]) -> set[Fact]:
    """All that is known where these conditions hold."""
    return {fact for guard in guards for fact in _facts_of(guard)}


def _facts_of(guard: Guard) -> dict[Fact, ast.expr]:
    if isinstance(guard.statement, ast.If):
        return guard.module.once(f"known {guard.holds}", guard.test, lambda test: known_by(test, guard.holds))
    return {}


def constant_at(context: Context, node: int) -> set[Fact]:
    """What is known at a node and the same as long as its outermost loop, or else the function, runs."""
    if node not in context.constants:
        context.constants[node] = _constants(context, node)
    return context.constants[node]


def _constants(context: Context, node: int) -> set[Fact]:
    loops = context.graph.loops[node]
    return {
        fact
        for guard in context.graph.guards[node]
        for fact, test in _facts_of(guard).items()
        if _is_constant(test, guard.module, loops[0] if loops else None, context)
    }


def _is_constant(test: ast.expr, module: Module, loop: Loop | None, context: Context) -> bool:
    names = module.once("names", test, names_without_calls)
    if names is None or (loop is not None and loop.module is not module):
        return False
    if loop is not None:
        return names.isdisjoint(loop.sets)
    return context.function is not None and names.isdisjoint(Loop(context.function.node, 0, module, False).sets)


def opposite(known: Iterable[Fact]) -> set[Fact]:
    return {(words, not holds) for words, holds in known}


@dataclass(frozen=True)
class Way:
    """All that may happen in a function while some conditions hold."""

    known: frozenset[Fact]
    live: set[int]

    def within(self, view: View, loop: Loop | None) -> set[str]:
        """The kinds of events of a loop, or of the whole function, that may happen on this way."""
        loops, may_happen = view.graph.loops, self.live.difference(view.graph.handlers)
        return {kind for at, kind in view.kinds.items() if at in may_happen and (loop is None or loop in loops[at])}


def way(context: Context, known: set[Fact]) -> Way:
    """What a run may come to where some conditions hold."""
    graph, barred = context.graph, opposite(known)
    dead = {node for node in context.live if not barred.isdisjoint(known_at(graph.guards[node]))}
    waiting = [graph.ENTRY, *(node for node in graph.handlers if node not in dead)]
    live = set(waiting)
    for node in waiting:
        for target in graph.following[node]:
            if target not in live and target not in dead:
                live.add(target)
                waiting.append(target)
    return Way(frozenset(known), live)


def along(tree: ast.AST, known: Iterable[Fact], last: int | None = None) -> ast.AST:
    """The statements of a tree that may run where some conditions hold, those after line ``last`` left out."""
    import copy

    return Pruner(set(opposite(known)), last).visit(copy.deepcopy(tree)) or ast.Module([], [])


class Pruner(ast.NodeTransformer):
    """Leaves out the branches that don't run, and what stands below a line."""

    def __init__(self, barred: set[Fact], last: int | None) -> None:
        self.barred = barred
        self.last = last

    def visit(self, node: ast.AST) -> ast.AST | None:
        if isinstance(node, ast.stmt) and self.last is not None and node.lineno > self.last:
            return None
        if isinstance(node, ast.expr):
            return node
        if isinstance(node, ast.If):
            if not self.barred.isdisjoint(known_by(node.test, True)):
                node.body = [ast.copy_location(ast.Pass(), node)]
            if not self.barred.isdisjoint(known_by(node.test, False)):
                node.orelse = []
        return self.generic_visit(node)
