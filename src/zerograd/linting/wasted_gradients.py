"""Gradients that no optimizer uses: a backward that clears follow on every way, in a function that steps elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from zerograd.linting.context import Context, shared
from zerograd.linting.discards import discarded
from zerograd.linting.graph import Graph, Loop
from zerograd.linting.idle import are_used, text_of
from zerograd.linting.left_behind import PART
from zerograd.linting.missing_on_a_way import are_meant, looks_at_gradients
from zerograd.linting.paths import Path
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import snake, sounds_like_an_optimizer
from zerograd.linting.scopes import Class
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View, related
from zerograd.stand_ins import dataclass

READ = pattern(r"(?<!zero_)(?<!no_)grad(?!_?scaler)|norm\b|warm|profil|capture")
"""Words of lines that may read gradients, or need none."""
OF_ITS_OWN = pattern(r"hook|fisher|attack|saliency|importance")
"""Words of loops and functions in which backward is for something else, too."""


@dataclass(frozen=True)
class Wasted:
    """``clear`` throws away what ``backward`` made. ``step``: of the same iteration, which uses a later backward."""

    view: View
    backward: int
    clear: int
    step: int | None


@shared
def wasted(context: Context) -> Iterator[Wasted]:
    """The backward passes whose gradients every optimizer of a function clears."""
    if context.module.hooked or not context.views or "closure" in text_of(context.module, context.node):
        return
    if "contextmanager" in context.module.text or "__exit__" in context.module.text:
        return  # what a ``with`` does at its end stands in the graph where it begins
    name = snake(context.function.name) if context.function is not None else ""
    if PART.search(name) or not _are_all(context):
        return
    told = {found.backward for found in discarded(context)}
    seen = {node for view in context.views for node in view.of(BACKWARD, FOREIGN)} - told
    for node in sorted(seen):
        event = context.views[0].event(node)
        if are_meant(guard.words for guard in context.graph.guards[node]):
            continue
        first = sorted(context.views, key=lambda view, at=node: view.kinds.get(at) != BACKWARD)  # type: ignore[misc]
        if event.module is context.module and all(_is_thrown_away(context, view, node) for view in first):
            found = _whose(context, node)
            if found is not None and not _is_read(context, found):
                yield found


def _are_all(context: Context) -> bool:
    """Whether all optimizers that may have to do with a function step in it."""
    known = [view.path for view in context.views]
    clears = context.graph.at(CLEAR)
    if any(event.path is None for _, event in clears):
        return False
    cleared = dict.fromkeys(event.path for node, event in clears if node in context.live and not event.of_module)
    if not all(path is not None and _is_one_of(context, path, known) for path in cleared):
        return False
    beside = [Path(context.scope, (name,)) for name in context.scope.parameters if sounds_like_an_optimizer(name)]
    beside += [Path(context.scope, (name,)) for name in context.scope.values]
    for owner in {path.home for path in known if isinstance(path.home, Class)}:
        beside += [Path(owner, ("self", *parts)) for parts in owner.attributes]
    return all(not context.binder.is_optimizer(path) or _is_one_of(context, path, known) for path in beside)


def _is_one_of(context: Context, path: Path, known: list[Path]) -> bool:
    return any(related(context.binder, path, other) is not False for other in known)


def _is_thrown_away(context: Context, view: View, node: int) -> bool:
    """Whether an optimizer cannot use what a backward makes."""
    loops = context.graph.loops[node]
    following = view.after(node, STEP, CLEAR, UNKNOWN)
    if not {view.kinds[at] for at in following} <= {CLEAR} or not all(_is_its_own(view, at) for at in following):
        return False
    if context.function is None or (loops and any(loops[-1] in context.graph.loops[at] for at in following)):
        return True
    if not following:
        first = view.after(Graph.ENTRY, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
        return view.are(first, CLEAR)  # at the next call
    return not loops


def _is_its_own(view: View, clear: int) -> bool:
    """Whether a clear is of the optimizer or of a module, and not of another one with parameters in common."""
    event = view.event(clear)
    if event.of_module or event.path == view.path:
        return True
    if event.path is None or event.path.last == view.path.last:
        return False  # ``optimizer`` of another object
    return related(view.binder, event.path, view.path) is True


def _whose(context: Context, node: int) -> Wasted | None:
    """The optimizer that is cleared after a backward, and was before it, unless all that there are were made here."""
    made = all(context.binder.constructor(view.path) is not None for view in context.views)
    loops = context.graph.loops[node]
    loop = loops[-1] if loops else None
    for view in sorted(context.views, key=lambda view: min(view.after(node, CLEAR), default=node)):
        before = view.before(node, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
        clears = sorted(view.after(node, STEP, CLEAR, UNKNOWN) & set(view.clears))
        if not clears or not (made or view.are(before, CLEAR)):
            continue
        for clear in clears:
            barred = loop.header if loop is not None else -1
            steps = view.after(clear, STEP, CLEAR, UNKNOWN, within=loop, avoiding=barred)
            direct = view.after(node, CLEAR, within=loop, avoiding=barred)
            if clear in direct and view.are(steps, STEP):
                return Wasted(view, node, clear, min(steps))
        if loop is not None and any(loop in context.graph.loops[at] for at in clears):
            return Wasted(view, node, clears[0], None)
    return None


def _is_read(context: Context, found: Wasted) -> bool:
    """Whether gradients may be looked at before they are cleared."""
    view = found.view
    loops = context.graph.loops[found.backward]
    region = loops[-1].node if loops else context.node
    if are_used(region) or looks_at_gradients(region) or OF_ITS_OWN.search(text_of(context.module, region)):
        return True
    first, last = view.event(found.backward).line, view.event(found.clear).line
    rows = context.module.rows
    between = rows[first : last - 1] if first < last else rows[first : getattr(region, "end_lineno", first)]
    if loops and isinstance(loops[-1], Loop):
        between = [*between, rows[loops[-1].node.lineno - 1]]
    text = "\n".join(row for row in between if "zero_grad" not in row)
    readers = [f.name for f in context.module.functions if ".grad" in text_of(context.module, f.node)]
    return bool(READ.search(text)) or any(re.search(rf"\b{re.escape(name)}\(", text) for name in readers)
