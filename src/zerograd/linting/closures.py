"""Closures that clear, compute a loss and give it back, and go not backward: ``optimizer.step(closure)``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.binding import is_plain
from zerograd.linting.context import Context
from zerograd.linting.losses import computes_a_loss_for_nothing
from zerograd.linting.paths import frame_of
from zerograd.linting.scopes import Function, chain
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View
from zerograd.linting.trees import walk_tree
from zerograd.linting.unseen import may_go_backward


def idle_closures(context: Context) -> Iterator[tuple[View, int]]:
    """The steps of a function, each with its optimizer, whose closure makes no gradients."""
    for view in context.views:
        if context.binder.constructor(view.path) is None and not _is_made_by_a_function(context, view):
            continue  # there are optimizers that make the gradients of the closure's loss themselves
        for node in view.of(STEP):
            function = _closure(context, view, node)
            if function is None:
                continue
            before = view.before(node, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN)
            if not view.are(before, CLEAR) or not all(
                view.event(at).is_in(function.node, context.module) for at in before
            ):
                continue
            if may_go_backward(function.node, frame_of(function.scope), context.binder):
                continue
            if computes_a_loss_for_nothing(function.node):
                yield view, node


def _closure(context: Context, view: View, node: int) -> Function | None:
    """The closure that a step is handed, if it is a function of the file."""
    event = view.event(node)
    if event.module is not context.module or not isinstance(event.node, ast.Call):
        return None
    given = [*event.node.args, *(word.value for word in event.node.keywords if word.arg == "closure")]
    if len(given) != 1 or not chain(given[0]):
        return None
    found = context.binder.find_callee(given[0], frame_of(context.scope))
    return found[0] if found is not None and found[0].scope.module is context.module else None


def _is_made_by_a_function(context: Context, view: View) -> bool:
    """Whether a function of the file has made the optimizer, of a class that is well known."""
    values = context.binder.values(view.path)
    if len(values) != 1 or values[0].how != "is" or not isinstance(values[0].expression, ast.Call):
        return False
    made = context.binder.find_definition(values[0].expression.func, values[0].scope)
    return isinstance(made, Function) and any(
        isinstance(node, ast.Call) and is_plain(context.binder.dotted(node.func, made.scope))
        for node in walk_tree(made.node)
    )
