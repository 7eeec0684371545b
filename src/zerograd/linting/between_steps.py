"""A loss between two steps that nothing uses: the second optimizer steps on what it has of the first one's backward.

``loss_d.backward(); optimizer_d.step(); loss_g = criterion(D(G(z))); optimizer_g.step()``
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from zerograd.linting.context import Context
from zerograd.linting.losses import computes_a_loss_for_nothing, losses_of
from zerograd.linting.missing_on_a_way import are_meant, is_behind
from zerograd.linting.paths import frame_of, name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import snake, suspicion
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, OTHER, STEP, UNKNOWN, View
from zerograd.linting.trees import names_in, walk_tree
from zerograd.linting.unseen import may_go_backward
from zerograd.stand_ins import dataclass

BACKWARDS = frozenset({"backward", "manual_backward"})
UNTRACKED = pattern(r"no_grad|inference_mode|\beval\b")
"""Words of a loss that is there to be looked at."""
LOOKED_AT = pattern(r"(?:^|_)(?:val|valid|test|eval|metric|log|total|running|mean|avg|sum)")
"""Names of such losses."""


@dataclass(frozen=True)
class Unused:
    """``step`` follows ``other``, a step of another optimizer, and the loss between them is not used."""

    view: View
    other: int
    step: int


def unused_losses(context: Context) -> Iterator[Unused]:
    """The steps of a function before which a loss is computed for nothing, since another optimizer's step."""
    for view in context.views if len(context.views) > 1 else ():
        for node in view.of(STEP):
            before = view.before(node, BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN, OTHER)
            before = _past_clears(view, before)
            meant = are_meant(guard.words for guard in context.graph.guards[node] if not is_behind(guard))
            if meant or not view.are(before, OTHER) or len(before) != 1:
                continue
            (other,) = before
            between = _between(context, view.event(other).node, view.event(node).node)
            if (
                between
                and view.clears
                and _is_another_turn(context, view, other, node)
                and _is_for_nothing(context, between, view.event(node).node)
            ):
                yield Unused(view, other, node)


def _is_another_turn(context: Context, view: View, other: int, node: int) -> bool:
    """Whether an optimizer is cleared between two steps: one backward for both of them may have nothing between."""
    first, last = view.event(other), view.event(node)
    return any(
        event.module is first.module and first.line < event.line < last.line and not event.made
        for _, event in context.graph.at(CLEAR)
    )


def _past_clears(view: View, before: set[int]) -> set[int]:
    """Clears of the optimizer itself are passed by: what was before them is gone."""
    if view.are(before, CLEAR) and len(before) == 1 and not before & view.made:
        return view.before(min(before), BACKWARD, FOREIGN, CLEAR, STEP, UNKNOWN, OTHER)
    return before


def _between(context: Context, first: ast.AST, last: ast.AST) -> list[ast.stmt]:
    """The statements between two calls, which are statements of one block."""
    for block in _blocks(context.node):
        at = [index for index, statement in enumerate(block) if _is_call(statement, first) or _is_call(statement, last)]
        if len(at) == 2:
            return block[at[0] + 1 : at[1]]
    return []


def _blocks(tree: ast.AST) -> Iterator[list[ast.stmt]]:
    for node in walk_tree(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block


def _is_call(statement: ast.stmt, call: ast.AST) -> bool:
    return isinstance(statement, ast.Expr) and statement.value is call


def _is_for_nothing(context: Context, between: list[ast.stmt], step: ast.expr | ast.stmt) -> bool:
    """Whether statements compute a loss, and nothing in the whole function may go backward from it."""
    part = ast.Module(between, [])
    if UNTRACKED.search(ast.unparse(part)) or not computes_a_loss_for_nothing(part):
        return False
    if may_go_backward(part, frame_of(context.scope), context.binder):
        return False
    calls = [node for node in walk_tree(context.node) if isinstance(node, ast.Call)]
    return any(
        not LOOKED_AT.search(snake(name)) and _is_made_anew(between, name) and not _is_used(context, calls, name, step)
        for name in losses_of(part)
    )


def _is_made_anew(between: list[ast.stmt], name: str) -> bool:
    """Whether something is called to make a loss, and not only what is there already added up."""
    made = _assignments(between, name)
    return any(isinstance(part, ast.Call) for statement in made for part in walk_tree(statement.value))


def _is_used(context: Context, calls: list[ast.Call], name: str, step: ast.expr | ast.stmt) -> bool:
    """Whether a call may go backward from a loss: not one before the step, of another loss of the same name."""
    made = [statement.lineno for statement in _assignments(walk_tree(context.node), name)]
    going = [call for call in calls if name_of(call.func) in BACKWARDS or suspicion(name_of(call.func))]
    return any(
        name in names_in(call) and (call.lineno > step.lineno or not any(line < call.lineno for line in made))
        for call in going
    )


def _assignments(nodes: Iterable[ast.AST], name: str) -> list[ast.Assign]:
    """Those of some nodes that give a name a value."""
    found = [node for node in nodes if isinstance(node, ast.Assign)]
    return [node for node in found if any(name in names_in(target) for target in node.targets)]
