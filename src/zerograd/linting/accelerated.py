"""Windows of Accelerate: in ``with accelerator.accumulate(model)`` a step and a clear do nothing but at a window's end.

There a clear that stands before backward throws away all that the window has gathered. After the step it is right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.context import Context
from zerograd.linting.paths import name_of
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View
from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import dataclass

LENGTHS = ("gradient_accumulation_steps", "gradient_accumulation_plugin")


@dataclass(frozen=True)
class Gathered:
    """``clear`` drops what the micro-batches before ``backward`` have left for ``step``."""

    view: View
    clear: int
    backward: int
    step: int


def cleared_first(context: Context) -> Iterator[Gathered]:
    """The clears before backward in the body of ``accumulate``, where the file asks for windows."""
    if "accumulate(" not in context.module.text or not context.module.once("gathers", context.module.tree, _gathers):
        return
    for statement in walk_tree(context.node):
        if not isinstance(statement, (ast.With, ast.AsyncWith)) or not any(map(_accumulates, statement.items)):
            continue
        for view in context.views:
            inside = {at for at in view.kinds if view.event(at).is_in(statement, context.module)}
            for clear in sorted(inside & set(view.clears)):
                following = view.after(clear, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN)
                if len(following) != 1 or not following <= inside or not view.are(following, BACKWARD):
                    continue
                (backward,) = following
                steps = view.after(backward, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN)
                lines = [view.event(at).line for at in (clear, backward, *steps)]
                if len(steps) == 1 and steps <= inside and view.are(steps, STEP) and lines == sorted(lines):
                    yield Gathered(view, clear, backward, min(steps))


def _gathers(tree: ast.AST) -> bool:
    """Whether a file makes an Accelerator whose windows are longer than one batch, as far as can be told."""
    return any(
        keyword.arg in LENGTHS and not (isinstance(keyword.value, ast.Constant) and keyword.value.value in (None, 1))
        for node in walk_tree(tree)
        if isinstance(node, ast.Call) and name_of(node.func) == "Accelerator"
        for keyword in node.keywords
    )


def _accumulates(item: ast.withitem) -> bool:
    """``accelerator.accumulate(model)``"""
    call = item.context_expr
    return isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "accumulate"
