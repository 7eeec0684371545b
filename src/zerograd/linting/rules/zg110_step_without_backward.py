"""ZG110: gradients are cleared, a loss is computed, a step is taken, and nothing made gradients."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.errors import nearest
from zerograd.linting.between_steps import unused_losses
from zerograd.linting.closures import idle_closures
from zerograd.linting.context import Context, Told
from zerograd.linting.discards import discarded
from zerograd.linting.losses import computes_a_loss_for_nothing
from zerograd.linting.missing_on_a_way import without_backward
from zerograd.linting.paths import Path, frame_of
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, OTHER, STEP, UNKNOWN, View
from zerograd.linting.trees import walk_tree
from zerograd.linting.unseen import is_of_a_known_class, may_go_backward


def check(context: Context) -> Iterator[Told]:
    taken: set[tuple[Path, int]] = set()
    told: set[int] = set()
    for view in context.views:
        for node in view.of(STEP):
            if not _finds_nothing(context, view, node):
                continue
            taken = {(d.view.path, d.step) for d in discarded(context)}
            if (view.path, node) in taken:
                continue
            step = view.event(node)
            told.add(node)
            known = is_of_a_known_class(view.path, context.binder)
            if not known and not view.alone:
                continue  # what it does may need no gradients of its own
            yield context.tell(
                "ZG110",
                step,
                f"`{view.path}` steps at {context.line(step)} and no backward comes before: "
                f"the loss is computed for nothing; call `loss.backward()` before the step{_misspelt(context, node)}",
                None if known else "warning",
            )

    for found in without_backward(context):
        if found.node in told or (found.view.path, found.node) in taken:
            continue
        if not is_of_a_known_class(found.view.path, context.binder) and not found.view.alone:
            continue
        step = found.view.event(found.node)
        yield context.tell(
            "ZG110",
            step,
            f"`{found.view.path}` steps at {context.line(step)} and no backward comes before{found.where}: "
            f"the loss is computed for nothing there; call `loss.backward()` before the step",
            "warning",
        )

    for view, node in idle_closures(context):
        if node in told or (view.path, node) in taken:
            continue
        step = view.event(node)
        yield context.tell(
            "ZG110",
            step,
            f"`{view.path}` steps at {context.line(step)} with a closure that clears and computes a loss, and does "
            f"not go backward: call `loss.backward()` before the closure returns the loss",
        )

    for unused in unused_losses(context):
        if unused.step in told or (unused.view.path, unused.step) in taken:
            continue
        step, other = unused.view.event(unused.step), unused.view.event(unused.other)
        yield context.tell(
            "ZG110",
            step,
            f"`{unused.view.path}` steps at {context.line(step)}, and since the step of another optimizer at "
            f"{context.line(other)} a loss is computed for nothing; call backward on it before the step",
            "warning",
        )


def _misspelt(context: Context, node: int) -> str:
    """Says so if something has a method there whose name is nearly ``backward``."""
    loops = context.graph.loops[node]
    for call in walk_tree(loops[-1].node if loops else context.node):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.args:
            continue
        if call.func.attr != "backward" and nearest(call.func.attr, ("backward",)):
            return f" (line {call.lineno} has `.{call.func.attr}()`)"
    return ""


def _finds_nothing(context: Context, view: View, node: int) -> bool:
    loops = context.graph.loops
    before = view.before(node, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN)
    clears = view.clears
    if any(at >= 0 and view.kinds[at] not in (CLEAR, STEP) for at in before):
        return False
    if not clears and not _is_all_there_is(context, view):
        return False
    loop = loops[node][-1] if loops[node] else None
    if loop is None and (context.function is None or (-1 in before and not _is_cleared_next(view, node))):
        return False
    is_cleared, kinds = view.around(loop)
    last = before - view.made
    cleared = bool(last) and last <= set(clears)  # what is not known cannot lie between that clear and the step
    if (clears and not is_cleared) or (UNKNOWN in kinds and not cleared):
        return False
    event = view.event(node)
    whole = context.function.node if context.function is not None else None
    region: ast.AST | None = loop.node if loop is not None else whole
    if region is None or event.module is not (loop.module if loop is not None else context.module):
        return False
    if may_go_backward(region, frame_of(context.scope), context.binder):
        return False
    if BACKWARD not in kinds and FOREIGN not in kinds:
        return computes_a_loss_for_nothing(region, kept=cleared) and (cleared or not _unknown_at_all(view))
    return (
        (loop is not None or -1 not in before)
        and BACKWARD not in kinds
        and view.are(before, CLEAR)
        and not any(at in before for start in view.of(FOREIGN) for at in view.after(start, CLEAR, STEP, UNKNOWN, OTHER))
    )


def _is_cleared_next(view: View, node: int) -> bool:
    """Whether a whole run of the function is: step, then clear. What it finds was made by nobody that is known."""
    return view.are(view.after(node, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN), CLEAR)


def _is_all_there_is(context: Context, view: View) -> bool:
    """Whether an optimizer is made here, and nothing but steps is known to be done with it."""
    return (
        view.alone
        and view.path.home is context.scope
        and context.binder.constructor(view.path) is not None
        and "backward" not in context.module.text
        and not view.of(UNKNOWN)
    )


def _unknown_at_all(view: View) -> bool:
    """Whether anything unknown in the whole function may have made gradients, or have been a training of its own."""
    return any(view.event(node).path is None for node in view.of(UNKNOWN)) and not view.of(BACKWARD)
