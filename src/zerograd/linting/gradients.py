"""Statements that write ``.grad`` by hand: a loop that clears it, an assignment that sets it."""

from __future__ import annotations

import ast

from zerograd.linting.graph import Event
from zerograd.linting.modules import Module
from zerograd.linting.paths import Frame
from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from zerograd.linting.binding import Binder

Handwork = Literal["clear", "assign"]
NAMES = ("grad", "_grad")


def is_handwork(module: Module, statement: ast.stmt) -> bool:
    """Whether a loop speaks of gradients, and no part of a training cycle is in it."""
    return module.speaks_of_grad(statement) and not module.once("cycle", statement, _has_a_cycle)


def known_handwork(module: Module, statement: ast.stmt) -> Handwork | None:
    """What ``handwork`` says of a statement of a file."""
    return module.once("handwork", statement, handwork) if module.speaks_of_grad(statement) else None


def handmade(module: Module, statement: ast.For | ast.AsyncFor, work: Handwork, binder: Binder, frame: Frame) -> Event:
    """The event of a loop that writes gradients by hand: it clears those of a module, or what it does is not known."""
    if work == "clear":
        for call in walk_tree(statement.iter):
            if isinstance(call, ast.Attribute) and call.attr in ("parameters", "named_parameters"):
                return Event("clear", statement, module, binder.resolve(call.value, frame), of_module=True)
    return Event("unknown", statement, module)


def _has_a_cycle(statement: ast.stmt) -> bool:
    """Whether a statement has a part of a training cycle in it, or jumps away."""
    return any(
        isinstance(inner, (ast.Break, ast.Return))
        or (isinstance(inner, ast.Attribute) and inner.attr in ("backward", "step", "zero_grad"))
        for inner in walk_tree(statement)
    )


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
