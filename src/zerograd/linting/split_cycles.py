"""Backward in one method and step in another, which other files call: nothing in the file clears the gradients.

Where a function of the file calls both, its graph has both, and the rules judge that.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.linting.context import Context
from zerograd.linting.cycles import is_cleared_in
from zerograd.linting.graph import Event, Graph
from zerograd.linting.idle import PLAIN_BASES, steps, text_of
from zerograd.linting.modules import Module
from zerograd.linting.paths import name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.scopes import Class, Function
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View
from zerograd.linting.trees import names_in, walk_tree
from zerograd.stand_ins import dataclass

BY_HAND = pattern(r"autograd\.grad|closure|no_grads|functional_call|_hook\(")
"""Signs that gradients are made, cleared or written in other ways than by backward and zero_grad."""
PART = pattern(r"grads?(?:_|$)|gradient|attack|saliency|bench|profil|test")
"""Names of methods whose backward may be for something else than the step."""


@dataclass(frozen=True)
class Split:
    """``step`` of one method uses what ``backward`` of another one has made."""

    view: View
    step: Event
    backward: ast.Call


def cycles_over_methods(context: Context) -> Iterator[Split]:
    """The steps of a method that has no backward, where the class has one elsewhere and clears nothing."""
    function = context.function
    if function is None or function.owner is None or function.name == "__init__":
        return
    for view in context.views:
        owner = view.path.home
        if not isinstance(owner, Class) or owner is not function.owner or context.binder.constructor(view.path) is None:
            continue
        nodes = view.of(STEP)
        if len(nodes) != 1 or view.of(BACKWARD, FOREIGN, CLEAR, UNKNOWN) or Graph.EXIT not in context.live:
            continue
        if (
            _is_by_hand(context.module)
            or not _is_all_known(context, owner)
            or is_cleared_in(context, view, context.module.text)
        ):
            continue
        backward = _backward(context, owner, function, view)
        if backward is not None:
            yield Split(view, view.event(nodes[0]), backward)


def _is_by_hand(module: Module) -> bool:
    return module.once("by hand", module.tree, lambda _: bool(BY_HAND.search(module.text)))


def _is_all_known(context: Context, owner: Class) -> bool:
    """Whether a class and those above it are in files that are known."""
    return all(
        name_of(base) in PLAIN_BASES or context.binder.find_class(base, ancestor.scope) is not None
        for ancestor in context.binder.ancestry(owner)
        for base in ancestor.node.bases
    )


def _backward(context: Context, owner: Class, function: Function, view: View) -> ast.Call | None:
    """The first backward of the class. All are in one method, which computes its losses itself and takes no step."""
    found: list[tuple[Function, ast.Call]] = []
    for method in owner.methods.values():
        for node in walk_tree(method.node):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward":
                found.append((method, node))
    if len({method.name for method, _ in found}) != 1:
        return None
    method = found[0][0]
    if method is function or PART.search(method.name) or steps(view.path.last, text_of(context.module, method.node)):
        return None
    if all(_is_called(name, context.module.text) for name in (method.name, function.name)):
        return None
    made = {
        name
        for node in walk_tree(method.node)
        if isinstance(node, ast.Assign) and any(isinstance(inner, ast.Call) for inner in walk_tree(node.value))
        for target in node.targets
        for name in names_in(target)
    }
    losses = [names_in(call.func) for _, call in found]
    made_here = all(used & made and not used & set(method.scope.parameters) for used in losses)
    return min((call for _, call in found), key=lambda call: call.lineno) if made_here else None


def _is_called(name: str, text: str) -> bool:
    return re.search(rf"\.{re.escape(name)}\(", text) is not None
