"""ZG107: gradients of several batches are summed and nothing divides: the step grows with the window."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.graph import Loop
from zerograd.linting.patterns import pattern
from zerograd.linting.state import CLEAR
from zerograd.linting.trees import walk_tree
from zerograd.linting.windowing import windows

DIVIDES = pattern(
    r"reduction\s*=\s*['\"](?:sum|none)|\.sum\(|accumulate\(|\.div_?\(|true_divide|\.mul_?\(|divide_by|normali[sz]"
)


def _function_around(loop: Loop) -> ast.stmt | ast.expr:
    """The function that a loop is in, which need not be the one that is looked at; else the loop itself."""
    around = [f.node for f in loop.module.functions if any(node is loop.node for node in walk_tree(f.node))]
    return min(around, key=lambda node: (node.end_lineno or 0) - node.lineno, default=loop.node)


def check(context: Context) -> Iterator[Told]:
    told: set[int] = set()
    for window in windows(context):
        view = window.view
        guarded = [
            node
            for node in view.of(CLEAR)
            if any(guard.statement is window.guard.statement for guard in context.graph.guards[node])
        ]
        if window.sort != "modulo" or window.backward in told or not guarded:
            continue
        source = window.loop.module.source
        function = _function_around(window.loop)
        lines = "\n".join(source.lines[function.lineno - 1 : function.end_lineno])
        divides = any(isinstance(getattr(node, "op", None), (ast.Div, ast.FloorDiv)) for node in walk_tree(function))
        if divides or DIVIDES.search(lines) or re.search(r"\*\s*\(?1\.?0?\s*/|_scale|scale_", lines):
            continue
        told.add(window.backward)
        yield context.tell(
            "ZG107",
            view.event(window.backward),
            "the gradients of a window are summed and never divided: divide the loss by the number of batches in it",
            also=[view.event(window.step)],
        )
