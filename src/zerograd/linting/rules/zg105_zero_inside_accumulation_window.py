"""ZG105: gradients are cleared in every iteration, but a step is taken only in some.

An error where the step waits for a counter, a warning where it waits for a flag or for the end of the loop.
"""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.accelerated import cleared_first
from zerograd.linting.collections_of import is_another_each_time
from zerograd.linting.context import Context, Told
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View
from zerograd.linting.windowing import windows
from zerograd.linting.windows_over_calls import called_windows


def check(context: Context) -> Iterator[Told]:
    told: set[int] = set()
    for window in windows(context):
        view = window.view
        following = view.after(window.backward, STEP, CLEAR, BACKWARD, UNKNOWN, within=window.loop)
        clears = [node for node in following if view.kinds[node] == CLEAR and not view.event(node).made]
        if {view.kinds[node] for node in following} != {STEP, CLEAR} or not clears or clears[0] in told:
            continue
        told.add(clears[0])
        certain = window.sort == "modulo" and view.alone
        yield _told(context, view, window.backward, clears[0], window.step, "error" if certain else "warning")
    for view in context.views:
        yield from _step_outside(context, view)
    for gathered in cleared_first(context):
        clear, backward, step = (gathered.view.event(at) for at in (gathered.clear, gathered.backward, gathered.step))
        yield context.tell(
            "ZG105",
            clear,
            f"zero {context.line(clear)}, backward {context.line(backward)}, step {context.line(step)} in "
            f"`accumulate`: at the end of a window the clear throws away all gradients but the last; "
            f"call `{gathered.view.path}.zero_grad()` right after the step",
            "warning",
            also=[backward, step],
        )
    for found in called_windows(context):
        if found.clear not in told:
            yield _told(context, found.view, found.backward, found.clear, found.step, "warning")


def _step_outside(context: Context, view: View) -> Iterator[Told]:
    """The window is a loop of its own, and the clear stands inside."""
    loops = context.graph.loops
    for start in view.of(BACKWARD):
        if not loops[start]:
            continue
        loop = loops[start][-1]
        if is_another_each_time(view.path, loop):
            continue
        inside = view.after(start, STEP, CLEAR, BACKWARD, FOREIGN, UNKNOWN, within=loop)
        following = view.after(start, STEP, CLEAR, BACKWARD, FOREIGN, UNKNOWN)
        steps = [node for node in following - inside if view.kinds[node] == STEP]
        if not view.are(inside, CLEAR) or not steps or not view.are(following - inside, STEP):
            continue
        if any(view.event(node).made for node in inside) or any(loop in loops[node] for node in view.of(STEP, UNKNOWN)):
            continue
        lines = loop.module.source.lines[loop.node.lineno - 1 : loop.node.end_lineno]
        if not any(".grad" in line for line in lines):
            yield _told(context, view, start, min(inside), steps[0], "warning")


def _told(context: Context, view: View, backward: int, clear: int, step: int, severity: str) -> Told:
    first, thrown, used = view.event(backward), view.event(clear), view.event(step)
    return context.tell(
        "ZG105",
        thrown,
        f"zero {context.line(thrown)} and backward {context.line(first)} in every iteration, step {context.line(used)} "
        f"only in some: all gradients but the last are thrown away; "
        f"call `{view.path}.zero_grad()` right after the step",
        "error" if severity == "error" else "warning",
        also=[first, used],
    )
