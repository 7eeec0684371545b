"""A backward or a step that one branch has and another one lacks."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from zerograd.linting.constant_branches import Fact, along, constant_at, known_at, opposite, way
from zerograd.linting.context import Context
from zerograd.linting.graph import Guard, Loop
from zerograd.linting.idle import are_used
from zerograd.linting.left_behind import PART, WHOLE
from zerograd.linting.losses import computes_a_loss_for_nothing, losses_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import snake
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, OTHER, STEP, UNKNOWN, View
from zerograd.linting.trees import names_in, walk_tree
from zerograd.stand_ins import dataclass

MEANT = pattern(r"finite|nan\b|isinf|skip|overflow|warm|rank|master|main_process|dry|closure|profil|accum|lbfgs")
"""Conditions under which a step without gradients, or gradients without a step, are meant."""


@dataclass(frozen=True)
class Lacking:
    """A step with no backward before it, or a backward with no step after it, where some conditions hold."""

    view: View
    node: int
    known: frozenset[Fact]

    @property
    def where(self) -> str:
        """The conditions, for a message."""
        named = [f"`{words}`" if holds else f"not `{words}`" for words, holds in sorted(self.known)]
        return f" where {' and '.join(named)}" if named else " on this way"


def without_backward(context: Context) -> Iterator[Lacking]:
    """Steps that a backward precedes in the loop, but not on the way that leads to them."""
    graph = context.graph
    for view in context.views:
        backwards = view.of(BACKWARD, FOREIGN)
        for node in view.of(STEP) if backwards and view.clears else ():
            loop = graph.loops[node][-1] if graph.loops[node] else None
            region = _region(context, view, node, loop)
            if region is None or are_meant(guard.words for guard in graph.guards[node] if not is_behind(guard)):
                continue
            around = [at for at in backwards if loop is None or loop in graph.loops[at]]
            if around and _is_right_after_a_clear(context, view, node, region, around):
                yield Lacking(view, node, frozenset())
                continue
            own = constant_at(context, node)
            for known in (own, *_others(context, own, node, around)):
                if known and _makes_none(context, view, node, known, region):
                    yield Lacking(view, node, frozenset(known))
                    break


def _region(context: Context, view: View, node: int, loop: Loop | None) -> ast.AST | None:
    """The statements of a loop, or else of a function that does the whole of a step, around an event in them."""
    event = view.event(node)
    region: ast.AST | None = loop.node if loop is not None else context.function.node if context.function else None
    module = loop.module if loop is not None else context.module
    if region is None or isinstance(region, ast.expr) or not event.is_in(region, module):
        return None
    name = snake(context.function.name) if context.function is not None else ""
    return None if loop is None and (PART.search(name) or not WHOLE.search(name)) else region


def _is_right_after_a_clear(context: Context, view: View, node: int, region: ast.AST, around: list[int]) -> bool:
    """Whether every way to a step comes from a clear, and between them a loss is computed that nothing uses."""
    graph = context.graph
    before = view.before(node, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN)
    if not view.are(before, CLEAR) or not before <= set(view.clears):
        return False
    if any(graph.loops[at] != graph.loops[node] for at in before):
        return False
    known = known_at(graph.guards[node])
    done = along(region, known, view.event(node).line)
    if not computes_a_loss_for_nothing(done):
        return False
    losses, barred = losses_of(done), opposite(known)
    return not any(
        losses & names_in(view.event(at).node) and barred.isdisjoint(known_at(graph.guards[at])) for at in around
    )


def _others(context: Context, own: set[Fact], node: int, backwards: list[int]) -> Iterator[set[Fact]]:
    """The ways around the backward passes, where a step has no conditions that they have not."""
    guards = context.graph.guards
    for backward in backwards:
        constant = constant_at(context, backward) - own
        if constant and known_at(guards[node]) <= known_at(guards[backward]):
            for fact in constant:
                yield own | opposite({fact})


def _makes_none(context: Context, view: View, node: int, known: set[Fact], region: ast.AST) -> bool:
    """Whether there is a step and a clear on a way and a loss for nothing, and on the opposite one a backward."""
    loops = context.graph.loops[node]
    taken = way(context, known)
    behind = known_at(guard for guard in context.graph.guards[node] if is_behind(guard))
    if node not in taken.live or are_meant(words for words, _ in known - behind):
        return False
    kinds = taken.within(view, loops[0] if loops else None)
    if {BACKWARD, FOREIGN, UNKNOWN} & kinds or not any(at in taken.live for at in view.clears):
        return False
    return computes_a_loss_for_nothing(along(region, known))


def without_step(context: Context) -> Iterator[Lacking]:
    """Backward passes of a branch that has no step, where the opposite one has both."""
    graph = context.graph
    for view in context.views:
        for node in view.of(BACKWARD, FOREIGN) if view.clears else ():
            known = constant_at(context, node)
            loop = graph.loops[node][0] if graph.loops[node] else None
            region = _region(context, view, node, loop)
            if not known or region is None or are_meant(words for words, _ in known):
                continue
            taken = way(context, known)
            if {STEP, OTHER, UNKNOWN} & taken.within(view, loop):
                continue
            if not any(at in taken.live for at in view.clears if loop is None or loop in graph.loops[at]):
                continue
            done = along(region, known)
            if _is_whole_elsewhere(context, view, node) and not (are_used(done) or looks_at_gradients(done)):
                yield Lacking(view, node, frozenset(known))


def is_behind(guard: Guard) -> bool:
    """Whether a condition is one that has let a run pass: what it is for is above, ``if not isfinite(x): continue``."""
    return isinstance(guard.statement, ast.If) and not guard.statement.orelse and not guard.holds


def are_meant(conditions: Iterable[str]) -> bool:
    """Whether one of the conditions says why a step, or a backward, is left out there."""
    return MEANT.search(" ".join(conditions).lower()) is not None


def looks_at_gradients(tree: ast.AST) -> bool:
    """Whether gradients are so much as measured."""
    return any(isinstance(node, ast.Attribute) and node.attr in ("grad", "_grad") for node in walk_tree(tree))


def _is_whole_elsewhere(context: Context, view: View, node: int) -> bool:
    """Whether the opposite branch of the same condition has a backward, and a step after it."""
    guards = context.graph.guards
    barred = opposite(constant_at(context, node))
    there = [at for at in view.of(BACKWARD, STEP) if not barred.isdisjoint(known_at(guards[at]))]
    return {view.kinds[at] for at in there} == {BACKWARD, STEP}
