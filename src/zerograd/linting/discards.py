"""Gradients that are made, cleared and then stepped on: what ZG103 and ZG104 have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zerograd.linting.context import Context, shared
from zerograd.linting.graph import Event, walk
from zerograd.linting.patterns import pattern
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, OTHER, STEP, UNKNOWN, View
from zerograd.linting.trees import names_in
from zerograd.stand_ins import dataclass

READ = pattern(r"\.grad\b(?!(?:\.data|\.detach\(\))?\.(?:clamp_|clip_|mul_|div_|norm\b)|\s+is\s+(?:not\s+)?None)")
"""A gradient that is looked at; one that is only clipped in place or measured is not copied by that."""
UNREAD = pattern(r"^\s*del .*|\ball_reduce\(\s*[\w.]*\.grad\b")
"""What deletes a gradient, or exchanges it between processes."""


@dataclass(frozen=True)
class Discarded:
    """``step`` finds only what ``clear`` left of ``backward``. ``direct``: all three in this order in one iteration."""

    view: View
    backward: int
    clear: int
    step: int
    direct: bool


@shared
def discarded(context: Context) -> Iterator[Discarded]:
    """Steps that find clean gradients on every way, where a backward had made some."""
    for view in context.views:
        for step in view.of(STEP):
            last = view.before(step, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
            made = {node for node in last - {-1} if view.kinds[node] == CLEAR and view.event(node).made}
            clears = sorted(last - made - {-1})
            if not view.are(clears, CLEAR):
                continue
            last = last - made | ({-1} if made else set())  # a new optimizer says nothing of what the loop does
            found = _thrown_away(context, view, step, clears)
            if -1 in last and (found is None or view.common_loop(found.backward, found.clear, step) is None):
                continue  # what was before the function is not known; in a loop that matters only once
            found = found or _straight(context, view, step, clears)
            if found is not None and not _is_read(found):
                yield found


def _thrown_away(context: Context, view: View, step: int, clears: list[int]) -> Discarded | None:
    loops = context.graph.loops
    for clear in clears:
        for backward in view.of(BACKWARD, FOREIGN):
            if clear not in view.after(backward, CLEAR, STEP, UNKNOWN, OTHER):
                continue
            loop = view.common_loop(backward, clear, step)
            if not set(loops[step]) <= set(loops[clear]) or not set(loops[step]) <= set(loops[backward]):
                continue
            barred = loop.header if loop is not None else -1
            ways = walk(context.graph.following, [backward], lambda node, barred=barred: node == barred)  # type: ignore[misc]
            return Discarded(view, backward, clear, step, step in set(ways))
    return None


def _straight(context: Context, view: View, step: int, clears: list[int]) -> Discarded | None:
    """In one run of a function or of a loop's body: clear, step, and only then backward."""
    loops = context.graph.loops
    loop = loops[step][-1] if loops[step] else None
    if (context.function is None and loop is None) or view.of(STEP) != [step]:
        return None
    barred = loop.header if loop is not None else -1
    following = view.after(step, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN, avoiding=barred)
    if not following or not {view.kinds[at] for at in following} <= {BACKWARD, FOREIGN}:
        return None
    if any(loops[at] != loops[step] for at in (*following, *clears)):
        return None
    if not all(_is_of_a_loss_before(view.event(at), view.event(step)) for at in following):
        return None
    return Discarded(view, min(following), clears[0], step, False)


def _is_of_a_loss_before(backward: Event, step: Event) -> bool:
    """Whether the loss was there before the step; another one, computed after it, is another network's matter."""
    if backward.module is not step.module:
        return False
    used = names_in(backward.node)
    between = backward.module.source.lines[step.line : backward.line - 1]
    return not any(re.match(rf"\s*(?:\w+\s*,\s*)*{re.escape(name)}\b[^=]*=", line) for name in used for line in between)


def _is_read(found: Discarded) -> bool:
    """Whether the gradients are looked at by hand before the step: copied, or put back."""
    events = [found.view.event(node) for node in (found.backward, found.clear, found.step)]
    if len({event.module for event in events}) > 1:
        return False
    lines = [event.line for event in events]
    return any(READ.search(UNREAD.sub("", line)) for line in events[0].module.source.lines[min(lines) - 1 : max(lines)])
