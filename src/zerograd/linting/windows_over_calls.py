"""Windows of a function that somebody else calls again and again: it clears at each call, and steps at every fourth.

``def update(engine, batch): optimizer.zero_grad(); loss.backward(); if engine.state.iteration % 4 == 0: ...``
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.context import Context
from zerograd.linting.graph import Graph, Guard
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View
from zerograd.linting.trees import names_in, walk_tree
from zerograd.linting.windowing import NO_WINDOW, spelt_out
from zerograd.stand_ins import dataclass


@dataclass(frozen=True)
class CalledWindow:
    """``clear`` and ``backward`` at each call, ``step`` at some."""

    view: View
    clear: int
    backward: int
    step: int


def called_windows(context: Context) -> Iterator[CalledWindow]:
    """The windows of a function that has no loop around its step."""
    if context.function is None:
        return
    graph = context.graph
    for view in context.views:
        steps, backwards = view.of(STEP), view.of(BACKWARD)
        if len(steps) != 1 or len(backwards) != 1 or view.of(FOREIGN, UNKNOWN):
            continue
        (step,), (backward,) = steps, backwards
        first = view.after(Graph.ENTRY, BACKWARD, CLEAR, STEP)
        if len(first) != 1 or not view.are(first, CLEAR) or first & view.made:
            continue
        (clear,) = first
        if view.after(clear, BACKWARD, CLEAR, STEP) != {backward} or view.after(backward, BACKWARD, CLEAR, STEP) != {
            step
        }:
            continue
        if any(graph.loops[node] for node in (clear, backward, step)):
            continue
        own = [guard for guard in graph.guards[step] if guard not in graph.guards[backward]]
        if own and all(_counts(guard, context) for guard in own):
            yield CalledWindow(view, clear, backward, step)


def _counts(guard: Guard, context: Context) -> bool:
    """Whether a condition holds at every so many calls: a remainder of what is counted outside of the function."""
    if guard.module is not context.module or NO_WINDOW.search(guard.words.lower()):
        return False
    return any(
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and names_in(node.left) and not _is_text(node)
        for node in walk_tree(spelt_out(guard.test, context))
    )


def _is_text(node: ast.BinOp) -> bool:
    return isinstance(node.left, ast.Constant) and isinstance(node.left.value, str)
