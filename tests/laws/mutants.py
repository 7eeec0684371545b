"""Mutants of a rule: the same function with one operation, constant, comparison, arm or order changed."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from zerograd import algebra
from zerograd.algebra.matrices import MatrixRule
from zerograd.algebra.notation import Rule, RuleFunction

_SWAPPED_OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}
_SWAPPED_COMPARISONS = {ast.Gt: ast.Lt, ast.Lt: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.GtE: ast.Lt}
_SWAPPED_VERBS = {"maximum": "minimum", "minimum": "maximum", "norm": "total", "total": "mean", "mean": "total"}
_SWAPPED_STARTS = {"p": "g", "g": "p"}


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """(what is changed, how to change it) for one node; the change is made in place, on a copy of the tree."""
    if isinstance(node, ast.BinOp) and type(node.op) in _SWAPPED_OPERATORS:
        swapped = _SWAPPED_OPERATORS[type(node.op)]
        yield f"{ast.unparse(node)}: {swapped.__name__}", lambda n: setattr(n, "op", swapped())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)):
        plain = ast.UAdd if isinstance(node.op, ast.USub) else ast.USub
        yield f"{ast.unparse(node)}: no sign", lambda n: setattr(n, "op", plain())
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED_COMPARISONS:
        other = _SWAPPED_COMPARISONS[type(node.ops[0])]
        yield f"{ast.unparse(node)}: {other.__name__}", lambda n: n.ops.__setitem__(0, other())
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
        yield f"constant {node.value} + 1", lambda n: setattr(n, "value", n.value + 1)
    if isinstance(node, ast.Constant) and node.value in _SWAPPED_STARTS:
        yield f"constant {node.value!r} swapped", lambda n: setattr(n, "value", _SWAPPED_STARTS[n.value])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in _SWAPPED_VERBS:
            yield f"{ast.unparse(node)}: other verb", lambda n: setattr(n.func, "id", _SWAPPED_VERBS[n.func.id])
        if node.func.id in ("where", "lerp", "clamp"):
            at = 0 if node.func.id == "lerp" else 1
            yield f"{ast.unparse(node)}: arguments swapped", lambda n: _swap(n.args, at)
    if isinstance(node, (ast.If, ast.IfExp)):
        yield f"if {ast.unparse(node.test)}: negated", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
        for i in range(len(node.value.elts) - 1):
            yield f"{ast.unparse(node)}: {i} and {i + 1} swapped", lambda n, i=i: _swap(n.value.elts, i)


def _swap(items: list[Any], at: int) -> None:
    items[at], items[at + 1] = items[at + 1], items[at]


def mutants(function: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every mutant of a rule's function with what was changed in it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.decorator_list = []
    definition.body = definition.body[1:] if ast.get_docstring(definition) else definition.body
    seen: Counter[str] = Counter()
    for place, where in _places(definition):
        for what, change in _changes(place):
            changed = copy.deepcopy(tree)
            _twin(tree, changed, place, change)
            scope = {**{name: getattr(algebra, name) for name in algebra.__all__}, **function.__globals__}
            exec(compile(ast.fix_missing_locations(changed), f"<mutant of {function.__name__}>", "exec"), scope)
            name = f"{what} in: {where}"
            seen[name] += 1
            yield name if seen[name] == 1 else f"{name} #{seen[name]}", scope[definition.name]


def _places(definition: ast.FunctionDef) -> Iterator[tuple[ast.AST, str]]:
    """Every node of the body and of the states' defaults, with the innermost statement that it stands in."""
    for default in definition.args.defaults:
        yield from ((node, "defaults") for node in ast.walk(default))
    todo: list[tuple[ast.AST, str]] = [(s, _head(s)) for s in definition.body]
    while todo:
        node, where = todo.pop(0)
        yield node, where
        todo += [(n, _head(n) if isinstance(n, ast.stmt) else where) for n in ast.iter_child_nodes(node)]


def _head(statement: ast.stmt) -> str:
    return ast.unparse(statement).splitlines()[0]


def _twin(tree: ast.AST, changed: ast.AST, place: ast.AST, change: Callable[[Any], None]) -> None:
    """Apply the change to the node of the copy that stands where ``place`` stands in the tree."""
    for node, twin in zip(ast.walk(tree), ast.walk(changed), strict=True):
        if node is place:
            change(twin)
            return
    raise AssertionError("the place is not in the tree")


def with_function(rule: Rule, name: str, function: Callable[..., Any]) -> Rule:
    """The rule with one of its functions replaced."""
    own, inner = rule.own, rule.inner
    if own.__name__ == name:
        own = type(rule.own)(function)
        assert isinstance(own, RuleFunction)
    elif inner is not None:
        inner = with_function(inner, name, function)
    return MatrixRule(own, rule.lists) if isinstance(rule, MatrixRule) else Rule(own, inner, rule.defaults)
