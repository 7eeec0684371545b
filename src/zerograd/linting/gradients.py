"""Statements that write ``.grad`` by hand: a loop that clears it, an assignment that sets it."""

from __future__ import annotations

import ast

from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import Literal

Handwork = Literal["clear", "assign"]
NAMES = ("grad", "_grad")


def handwork(statement: ast.stmt) -> Handwork | None:
    """What a statement does to ``.grad`` by hand: "clear" (None or zero), "assign" (anything else), or nothing."""
    found: Handwork | None = None
    for node in walk_tree(statement):
        done = _of(node)
        if done == "assign":
            return done
        found = done or found
    return found


def _of(node: ast.AST) -> Handwork | None:
    if isinstance(node, ast.Assign):
        if any(_is_grad(target) for target in node.targets):
            value = node.value
            empty = isinstance(value, ast.Constant) and value.value in (None, 0, 0.0)
            zeros = isinstance(value, ast.Call) and "zeros" in ast.unparse(value.func)
            return "clear" if empty or zeros else "assign"
    elif isinstance(node, ast.Delete):
        return "clear" if any(_is_grad(target) for target in node.targets) else None
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("zero_", "fill_", "copy_", "set_", "zero_grad_") and _mentions_grad(node.func.value):
            return "clear" if node.func.attr in ("zero_", "zero_grad_") else "assign"
    elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "setattr" and len(node.args) == 3:
        name = node.args[1]
        return "assign" if isinstance(name, ast.Constant) and name.value in NAMES else None
    return None


def _is_grad(node: ast.expr) -> bool:
    if isinstance(node, (ast.Tuple, ast.List)):
        return any(map(_is_grad, node.elts))
    if isinstance(node, ast.Attribute) and node.attr == "data":
        node = node.value
    if isinstance(node, ast.Subscript):
        node = node.value
    return isinstance(node, ast.Attribute) and node.attr in NAMES


def _mentions_grad(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Attribute) and part.attr in NAMES for part in walk_tree(node))
