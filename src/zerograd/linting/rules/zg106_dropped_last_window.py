"""ZG106: a step every few iterations, and none after the loop: what the last, shorter window gave is lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.patterns import pattern
from zerograd.linting.state import BACKWARD, STEP, UNKNOWN
from zerograd.linting.windowing import Window, spelt_out, windows

FLUSHED = pattern(r" or |len\(|last|final|end")


def check(context: Context) -> Iterator[Told]:
    told: set[int] = set()
    for window in windows(context):
        if window.sort != "modulo" or window.step in told or not _ends_with_the_data(window):
            continue
        view = window.view
        text = window.loop.module.text
        if (
            FLUSHED.search(ast.unparse(spelt_out(window.guard.test, context)))
            or "drop_last" in text
            or "islice" in text
        ):
            continue
        outside = view.after(window.step, STEP, BACKWARD, UNKNOWN, avoiding=window.loop.header)
        leaving = view.after(window.loop.header, STEP, BACKWARD, UNKNOWN)
        if any(
            window.loop not in context.graph.loops[node] for node in outside | leaving if view.kinds[node] != BACKWARD
        ):
            continue
        told.add(window.step)
        step = view.event(window.step)
        yield context.tell(
            "ZG106",
            step,
            f"`{view.path}` steps every few batches, and the loop may end within a window: "
            f"step once more after the loop, or at its last batch too",
            also=[view.event(window.backward)],
        )


def _ends_with_the_data(window: Window) -> bool:
    """Whether the counter is the loop's own, as ``enumerate(loader)`` gives it."""
    node = window.loop.node
    if not isinstance(node, ast.For) or not isinstance(node.target, ast.Tuple) or not isinstance(node.iter, ast.Call):
        return False
    callee = ast.unparse(node.iter)
    return "enumerate(" in callee
