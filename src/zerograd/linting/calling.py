"""Which parts of an expression call anything: the graph is built from calls, so all else is passed by.

A function is looked at as often as it is called somewhere. What is in its expressions is found out once.
"""

from __future__ import annotations

import ast
import builtins
from functools import cached_property, lru_cache

from zerograd.linting.receivers import TOUCHING, is_harmless, suspicion
from zerograd.linting.scopes import chain
from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.linting.modules import Module

LEAVES = (ast.Name, ast.Constant, ast.Lambda)
"""What calls nothing where it stands."""
ACTING = (ast.Call, ast.Yield, ast.YieldFrom)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)

BUILTINS = frozenset(vars(builtins))

Parts = tuple[ast.expr, ...]


class Calling:
    """Answers for the expressions of one file."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._parts: dict[ast.AST, Parts | None] = {}
        self._operands: dict[ast.Call, Parts] = {}

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

    def operands(self, call: ast.Call) -> Parts:
        """The parts of a call that call something: in its receiver, then in what it is handed."""
        found = self._operands.get(call)
        if found is None:
            function = call.func.value if isinstance(call.func, ast.Attribute) else call.func
            inner = (function, *call.args, *(keyword.value for keyword in call.keywords))
            found = self._operands[call] = tuple(part for part in inner if self.parts(part) is not None)
        return found

    def _found(self, node: ast.expr) -> Parts | None:
        if not self._module.touches(node):
            return None
        if isinstance(node, ACTING) and not (isinstance(node, ast.Call) and self._is_quiet(node)):
            return ()
        if isinstance(node, COMPREHENSIONS):
            elements = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            return None if all(self.parts(part) is None for part in (node.generators[0].iter, *elements)) else ()
        found = tuple(part for part in _inner(node) if self.parts(part) is not None)
        return found or None

    def _is_quiet(self, call: ast.Call) -> bool:
        """Whether a call does nothing to gradients by its name alone, such as ``len`` or ``logger.info``.

        Its name must be none that a known function has: that would be looked into.
        """
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if not is_quiet(name):
            return False
        if isinstance(call.func, ast.Name):
            return name in BUILTINS and name not in self._module.bound_names
        if not isinstance(call.func, ast.Attribute) or name in self._module.known_functions:
            return False
        return not self._module.files.roots or chain(call.func)[:1] not in self._imports

    @cached_property
    def _imports(self) -> set[tuple[str, ...]]:
        return {(name,) for scope in self._module.scopes for name in scope.imports}


@lru_cache(maxsize=4096)
def is_quiet(name: str) -> bool:
    """Whether a callee of this name does nothing to gradients, whatever it is called on and handed."""
    return is_harmless(name) and not suspicion(name) and not any(word in name for word in TOUCHING)


def _inner(node: ast.expr) -> list[ast.expr]:
    """The expressions in an expression. A long sum is one row of terms: each ``+`` would be a level of its own."""
    if isinstance(node, ast.Call):
        return [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
    if not isinstance(node, ast.BinOp):
        return [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    terms: list[ast.expr] = []
    left: ast.expr = node
    while isinstance(left, ast.BinOp):
        terms.append(left.right)
        left = left.left
    return [left, *reversed(terms)]
