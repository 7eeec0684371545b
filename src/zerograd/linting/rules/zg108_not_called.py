"""ZG108: a method is named and not called, as in ``optimizer.step``; the statement does nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.hazards import find
from zerograd.linting.binding import Binder
from zerograd.linting.context import Told
from zerograd.linting.finding import Finding
from zerograd.linting.lines import Marks
from zerograd.linting.modules import Module
from zerograd.linting.patterns import pattern

METHODS = frozenset({"zero_grad", "step", "backward", "train", "eval", "update"})
BARE = pattern(r"\.\s*(?:zero_grad|step|backward|train|eval|update)\s*(?:[;#].*)?$", re.MULTILINE)
EXPECTED = pattern(r"raises|suppress|warns")


def check(module: Module, binder: Binder) -> Iterator[Told]:  # noqa: ARG001
    if not BARE.search(module.text):
        return
    marks = module.lines.marks(number for word in METHODS for number in module.lines.words.get(word, ()))
    for statement in _statements(module.tree, marks):
        node = statement.value
        if not isinstance(node, ast.Attribute) or node.attr not in METHODS:
            continue
        receiver = ast.unparse(node.value)
        if node.attr == "update" and "scaler" not in receiver.lower():
            continue
        if node.attr == "step" and module.source.is_end_of_cell(statement.lineno):
            continue  # a notebook shows the value
        last = statement.end_lineno or statement.lineno
        message = (
            f"{find('ZG108').name}: `{receiver}.{node.attr}` is named and not called; write `{receiver}.{node.attr}()`"
        )
        found = Finding.at(
            module.source, statement.lineno, statement.col_offset, "ZG108", find("ZG108").severity, message
        )
        yield found, frozenset({statement.lineno, last})


def _statements(node: ast.AST, marks: Marks) -> Iterator[ast.Expr]:
    """All expressions that are statements and have a marked line, but not where an exception is waited for."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt) and not marks.within(child):
            continue
        if isinstance(child, ast.Expr):
            yield child
        elif isinstance(child, ast.Try):
            inside: list[ast.stmt]
            for part in (*child.handlers, *child.finalbody):
                inside = part.body if isinstance(part, ast.ExceptHandler) else [part]  # type: ignore[list-item]
                yield from _statements(ast.Module(inside, []), marks)
            if len(child.body) > 1 or not isinstance(child.body[0], ast.Expr):
                yield from _statements(ast.Module(child.body, []), marks)
        elif isinstance(child, (ast.With, ast.AsyncWith)):
            if not any(EXPECTED.search(ast.unparse(item.context_expr)) for item in child.items):
                yield from _statements(child, marks)
        elif not isinstance(child, ast.expr):
            yield from _statements(child, marks)
