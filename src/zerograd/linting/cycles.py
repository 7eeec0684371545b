"""Cycles that never clear: a step, and round the loop a backward that adds to what the step has used."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.collections_of import is_another_each_time
from zerograd.linting.constant_branches import constant_at, known_at, opposite
from zerograd.linting.context import Context, shared
from zerograd.linting.graph import Event, Graph, Guard, Loop, reach, walk
from zerograd.linting.modules import Module
from zerograd.linting.paths import KEY, Path
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import sounds_like_an_optimizer
from zerograd.linting.scopes import Class, Function, Scope
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View, overlap
from zerograd.linting.trees import names_in
from zerograd.linting.windowing import is_constant, sort_of
from zerograd.stand_ins import dataclass

CLEARED = pattern(r"(?:\b(\w+)\.)?\b(\w+)(\[[^\]\n]*\])?(?:\(\))?\s*\.\s*zero_grad\b")
INDEX = pattern(KEY)
BY_HAND = pattern(
    r"\._?grad\b(?:\.\w+)*\s*=[^=]|\._?grad\.(?:\w+\.)*(?:zero_|fill_|copy_|detach_)|set_to_none|zero_grads|grad_zero"
    r"|clear_grad|reset_grad|zero_gradients|del \w+\.grad|clean_grad|zerograd\("
)

NOT_FINITE = pattern(r"^not [\w.]*isfinite\(|isnan\(|isinf\(")
OPTIMIZER = pattern(r"\boptim\b|Optim")


@dataclass(frozen=True)
class Cycle:
    """``step`` is followed by ``backward`` with no clear between; ``loop`` is None if it is the function's caller's."""

    view: View
    step: int
    backward: int
    loop: Loop | None

    @property
    def cleared(self) -> list[int]:
        """Where the optimizer is cleared, but not on this way."""
        return self.view.clears

    @property
    def cleared_outside(self) -> list[int]:
        """Where it is cleared once for all rounds of the loop: nowhere in it, nor in another one with a backward.

        And a run may come from there to the loop.
        """
        loops, following = self.view.graph.loops, self.view.graph.following
        if self.loop is None or any(self.loop in loops[node] for node in self.cleared):
            return []
        around = loops[self.step]
        others = {loop for node in self.view.of(BACKWARD) for loop in loops[node] if loop not in around}
        outside = [node for node in self.cleared if others.isdisjoint(loops[node])]
        return [node for node in outside if self.loop.header in reach(following, node, set())]


@shared
def uncleared(context: Context) -> Iterator[Cycle]:
    """All cycles of a function in which an optimizer is not cleared on any way."""
    if context.module.hooked or context.module.lends_zero_grad:
        return
    for view in context.views:
        for node in view.of(STEP):
            if view.are(view.before(node, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN) - {-1}, CLEAR):
                continue  # it uses nothing: another rule's matter
            if _is_cleared_with_it(context, view, node):
                continue
            for loop in reversed(context.graph.loops[node]):
                if is_another_each_time(view.path, loop) and _is_cleared_in_turn(view):
                    continue  # a loop around this one comes back to the same optimizer
                following = _following(context, view, node, loop)
                if (
                    view.are(following, BACKWARD)
                    and _is_used(view, following)
                    and _goes_round(view, node, min(following), loop)
                ):
                    yield Cycle(view, node, min(following), loop)
                if following:
                    break
            else:
                yield from _over_calls(context, view, node)


def _is_cleared_in_turn(view: View) -> bool:
    """Whether each optimizer of a collection is cleared in a loop that goes through them."""
    return any(
        is_another_each_time(view.path, loop)
        for node in view.of(CLEAR)
        if not view.event(node).made
        for loop in view.graph.loops[node]
    )


def _following(context: Context, view: View, step: int, loop: Loop) -> set[int]:
    """What may come after a step round the loop, where conditions that never change hold as they did at the step.

    Clears that are only for every other iteration, or so, are passed by.
    """
    guards = view.graph.guards
    held = {(guard.statement, guard.holds) for guard in guards[step] if is_constant(guard, loop)}
    contrary = {(statement, not holds) for statement, holds in held}
    passed = {
        node
        for node, kind in view.kinds.items()
        if kind == CLEAR and any(_is_now_and_then(guard, loop, context) for guard in guards[node])
    }
    passed = passed if _is_unguarded(view, step, loop) else set()

    events = {at for at, kind in view.kinds.items() if kind in (BACKWARD, CLEAR, UNKNOWN)} - passed

    def ends(at: int) -> bool:
        if at in events or loop not in view.graph.loops[at]:
            return True
        return bool(contrary) and any((guard.statement, guard.holds) in contrary for guard in guards[at])

    reached = walk(view.graph.following, view.graph.following[step], ends)
    return {
        at
        for at in reached
        if at in events
        and loop in view.graph.loops[at]
        and not any((guard.statement, guard.holds) in contrary for guard in guards[at])
    }


def _is_used(view: View, backwards: set[int]) -> bool:
    """Whether a step may use what is added: a backward that is cleared before each step is another network's."""
    return any(STEP in {view.kinds[at] for at in view.after(node, STEP, CLEAR)} for node in backwards)


def _is_unguarded(view: View, step: int, loop: Loop) -> bool:
    inner = view.graph.guards[loop.header]
    return all(
        guard in inner or is_constant(guard, loop) or NOT_FINITE.search(guard.words)
        for guard in view.graph.guards[step]
    )


def _is_now_and_then(guard: Guard, loop: Loop, context: Context) -> bool:
    """Whether a condition holds for every other iteration or so, or only where a loss is not finite."""
    if guard in context.graph.guards[loop.header]:
        return False
    return sort_of(guard, loop, context) == "modulo" or (guard.holds and bool(NOT_FINITE.search(guard.words)))


def _is_cleared_with_it(context: Context, view: View, step: int) -> bool:
    """Whether a clear stands under a condition of the same words as one of the step's, and not in another branch."""
    guards = view.graph.guards
    mine = {(guard.words, guard.holds) for guard in guards[step]}
    barred = opposite(constant_at(context, step)) if mine else set()
    return bool(mine) and any(
        guard not in guards[step] and (guard.words, guard.holds) in mine
        for node in view.clears
        if barred.isdisjoint(known_at(guards[node]))
        for guard in guards[node]
    )


def _goes_round(view: View, step: int, backward: int, loop: Loop) -> bool:
    """Whether the way leads round the loop; within one iteration the conditions of two ways may exclude each other."""
    direct = view.after(step, BACKWARD, CLEAR, UNKNOWN, within=loop, avoiding=loop.header)
    guards = view.graph.guards
    return not direct or [g.statement for g in guards[step]] == [g.statement for g in guards[backward]]


def _over_calls(context: Context, view: View, node: int) -> Iterator[Cycle]:
    """A method that is called again and again by a loop elsewhere; only if nothing in the file may be a clear."""
    if context.graph.loops[node] or context.function is None or not _lives_on(context, view):
        return
    if view.after(node, BACKWARD, CLEAR, UNKNOWN) or Graph.EXIT not in context.live:
        return
    first = view.after(Graph.ENTRY, BACKWARD, CLEAR, UNKNOWN, STEP)
    if not view.are(first, BACKWARD):
        return
    text = _text_around(context)
    if is_cleared_in(context, view, text):
        return
    names = {name for _, name, _ in CLEARED.findall(text)}
    here = {other.path.last for other in context.views}
    if not _is_handed_over(view) or (names <= here and _makes_its_loss(context, view.event(min(first)))):
        yield Cycle(view, node, min(first), None)


def is_cleared_in(context: Context, view: View, text: str) -> bool:
    """Whether anything in a text may be a clear of an optimizer: one by hand, of it, or of what isn't known."""
    receivers = set(CLEARED.findall(text))
    made = {v.last for v in context.optimizers} | {
        parts[-1]
        for owner in context.module.classes
        for parts in owner.attributes
        if sounds_like_an_optimizer(parts[-1])
    }
    made |= _modules_of_others(context, view)
    return (
        bool(BY_HAND.search(text))
        or any(_may_be(context, view.path, *receiver) for receiver in receivers)
        or not {name for _, name, _ in receivers} <= made
    )


def _modules_of_others(context: Context, view: View) -> set[str]:
    """The names of modules that other optimizers have the parameters of, and this one has not."""
    mine = context.binder.modules(view.path)
    theirs = {
        module for other in context.views if other is not view for module in context.binder.modules(other.path) or ()
    }
    apart = {module for module in theirs if mine and not overlap(mine, {module}) and len(module.parts) > 1}
    return {module.last for module in apart} - {module.last for module in mine or ()}


def _may_be(context: Context, path: Path, owner: str, name: str, index: str) -> bool:
    """Whether ``owner.name[index]`` may be an optimizer.

    Not if both are elements of one collection, with other keys, or of the same name and two objects that are known.
    """
    key = INDEX.fullmatch(index)
    if name != path.last or key is None or path.key is None:
        return name == path.last and not (owner and owner in _other_owners(context, path))
    return path.key in (key[1], key[2])


def _other_owners(context: Context, path: Path) -> set[str]:
    """The objects of which other optimizers of this name are attributes: ``g`` of ``self.g.optimizer``."""
    alike = [other.path for other in context.views if other.path.last == path.last and len(other.path.parts) > 2]
    if len(path.parts) < 3 or len({other.parts[-2] for other in alike}) < len(alike):
        return set()
    return {other.parts[-2] for other in alike} - {path.parts[-2]}


def _text_around(context: Context) -> str:
    """The file without the other functions that run a cycle of their own: what they clear is before their backward."""
    module = context.module
    cycles, outside = module.once("cycles", module.tree, lambda _: _own_cycles(module))
    if context.function is None:
        return outside
    line = context.function.node.lineno
    spans = module.once("spans", module.tree, lambda _: list(map(_span, module.functions)))
    start, end = min((span for span in spans if span[0] <= line <= span[1]), default=(line, line))
    lines = module.rows[start - 1 : end]
    for first, last in cycles:
        if start <= first and last <= end and not first <= line <= last:
            lines[first - start : last - start + 1] = [""] * (last - first + 1)
    return f"{outside}\n" + "\n".join(lines)


def _own_cycles(module: Module) -> tuple[set[tuple[int, int]], str]:
    """Where the functions are that run a cycle of their own, and the file without them."""
    rows = module.rows
    found: set[tuple[int, int]] = set()
    for function in module.functions:
        first, last = _span(function)
        own = rows[first - 1 : last]
        if any("backward" in row for row in own) and any(".step(" in row for row in own):
            found.add((first, last))
    left = list(rows)
    for first, last in found:
        left[first - 1 : last] = [""] * (last - first + 1)
    return found, "\n".join(row for row in left if row)


def _span(function: Function) -> tuple[int, int]:
    return function.node.lineno, function.node.end_lineno or function.node.lineno


def _lives_on(context: Context, view: View) -> bool:
    """Whether an optimizer is the same one at the next call: an attribute, a global name, or a parameter."""
    home = view.path.home
    if isinstance(home, Class):
        whole = view.path.whole
        known = bool(context.binder.values(whole)) or _is_declared(context, home, whole)
        return known and context.function is not None and context.function.name != "__init__"
    if home is not context.scope and home.parent is not None:
        made = context.binder.constructor(view.path) is not None  # a function around, which has made it
        return made or _is_handed_over(view)
    if home.parent is None:
        return context.binder.constructor(view.path) is not None
    given = context.binder.values(view.path)
    own = bool(given) and all(_is_handed_out(value.expression) for value in given)
    return own or _is_handed_over(view)  # Lightning's self.optimizers() gives the same ones every time


def _is_handed_out(node: ast.expr) -> bool:
    """``self.optimizers()``, ``self.optimizers()[0]``"""
    node = node.value if isinstance(node, ast.Subscript) else node
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "optimizers"


def _is_declared(context: Context, home: Class, path: Path) -> bool:
    """Whether a class says that its instances have such an attribute, and that it is an optimizer."""
    return len(path.parts) == 2 and any(
        path.parts[1] in owner.annotations and OPTIMIZER.search(ast.unparse(owner.annotations[path.parts[1]]))
        for owner in context.binder.ancestry(home)
    )


def _is_handed_over(view: View) -> bool:
    """Whether it is a parameter, of the function itself or of one around it."""
    home = view.path.home
    return isinstance(home, Scope) and view.path.parts[0] in home.parameters


def _makes_its_loss(context: Context, backward: Event) -> bool:
    """Whether the loss is computed in the function: one that is handed the loss, too, is but a part of a step."""
    used = names_in(backward.node)
    return not used & set(context.scope.parameters)
