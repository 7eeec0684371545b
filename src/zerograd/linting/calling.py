"""Which parts of an expression call anything: the graph is built from calls, so all else is passed by.

A function is looked at as often as it is called somewhere. What is in its expressions is found out once.
"""

from __future__ import annotations

import ast
from collections.abc import Callable

LEAVES = (ast.Name, ast.Constant, ast.Lambda)
"""What calls nothing where it stands."""
ACTING = (ast.Call, ast.Yield, ast.YieldFrom)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)

Parts = tuple[ast.expr, ...]


class Calling:
    """Answers for the expressions of one file; ``touches``: whether a node's lines have to be looked at at all."""

    def __init__(self, touches: Callable[[ast.AST], bool]) -> None:
        self._touches = touches
        self._parts: dict[ast.AST, Parts | None] = {}

    def parts(self, node: ast.expr) -> Parts | None:
        """The parts of an expression that call something, in their order; None if nothing in it does."""
        if isinstance(node, LEAVES):
            return None
        try:
            return self._parts[node]
        except KeyError:
            found = self._parts[node] = self._found(node)
            return found

    def children(self, statement: ast.stmt) -> Parts:
        """The expressions of a statement that call something."""
        found = self._parts.get(statement)
        if found is None:
            inner = [child for child in ast.iter_child_nodes(statement) if isinstance(child, ast.expr)]
            found = self._parts[statement] = tuple(child for child in inner if self.parts(child) is not None)
        return found

    def _found(self, node: ast.expr) -> Parts | None:
        if not self._touches(node):
            return None
        if isinstance(node, ACTING):
            return ()
        if isinstance(node, COMPREHENSIONS):
            elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            return None if all(self.parts(part) is None for part in (node.generators[0].iter, *elements)) else ()
        found = tuple(part for part in _inner(node) if self.parts(part) is not None)
        return found or None


def _inner(node: ast.expr) -> list[ast.expr]:
    """The expressions in an expression. A long sum is one row of terms: each ``+`` would be a level of its own."""
    if not isinstance(node, ast.BinOp):
        return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    terms: list[ast.expr] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp):
        terms.append(left.right)
        left = left.left
    return [left, *reversed(terms)]
