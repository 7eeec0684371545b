"""Accumulation windows: a step that is taken only every few iterations, or at the last one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.linting.context import Context, Sort, shared
from zerograd.linting.graph import Guard, Loop
from zerograd.linting.patterns import pattern
from zerograd.linting.state import BACKWARD, STEP, View
from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import dataclass

BOUNDARY = pattern(r"accum|sync|update|boundary|last_batch|is_last|last_step|last_iter|do_step|should_step|final")
NO_WINDOW = pattern(
    r"finite|isnan|isinf|skip|overflow|\bnan|inf_|found_inf|warmup|freeze|\b(?:is_|in_)?train(?:ing)?\b|\b(?:use_)?amp\b|fp16"
    r"|scaler|tpu|xla|cuda"
)


@dataclass(frozen=True)
class Window:
    """A step in a loop, that is guarded where a backward of the same loop is not."""

    view: View
    step: int
    backward: int
    loop: Loop
    guard: Guard
    sort: Sort


@shared
def windows(context: Context) -> Iterator[Window]:
    """All windows of a function."""
    graph = context.graph
    for view in context.views:
        theirs = {guard.words for start in view.of(BACKWARD) for guard in graph.guards[start]}
        for node in view.of(STEP):
            for start in view.of(BACKWARD):
                loop = graph.loops[start][-1] if graph.loops[start] else None
                if loop is None or loop not in graph.loops[node]:
                    continue
                held = {id(guard.statement) for guard in graph.guards[start]}
                own = [guard for guard in graph.guards[node] if id(guard.statement) not in held]
                sorts = [(sort_of(guard, loop, context), guard) for guard in own]
                if any(guard.words in theirs for guard in own):
                    continue  # it has a backward of its own there
                if not sorts or any(sort == "other" for sort, _ in sorts):
                    continue
                sort, guard = next((pair for pair in sorts if pair[0] == "modulo"), sorts[0])
                yield Window(view, node, start, loop, guard, sort)


def sort_of(guard: Guard, loop: Loop, context: Context) -> Sort:
    """What a condition means for the iterations of a loop."""
    key = guard.test, loop
    if key not in context.sorts:
        context.sorts[key] = _sort_of(guard, loop, context)
    return context.sorts[key]


def _sort_of(guard: Guard, loop: Loop, context: Context) -> Sort:
    test = spelt_out(guard.test, context)
    words = ast.unparse(test).lower()
    if NO_WINDOW.search(words):
        return "other"
    counters = loop.counters
    for node in walk_tree(test):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            names = {part for inner in walk_tree(node.left) if (part := _name(inner))}
            if names & counters:
                return "modulo"
    if any(_is_counted_up(node, loop) for node in walk_tree(test)):
        return "modulo"
    if BOUNDARY.search(guard.words.lower()) or re.search(r"[-+] 1 == len\(|== len\(\w+\) - 1", words):
        return "boundary"
    return "other"


def _is_counted_up(node: ast.AST, loop: Loop) -> bool:
    """Whether a counter is compared that the loop adds one to, and sets to zero where it has come so far."""
    if not isinstance(node, ast.Compare) or not isinstance(node.left, ast.Name) or len(node.ops) != 1:
        return False
    name = node.left.id
    counted = [step for step in walk_tree(loop.node) if isinstance(step, ast.AugAssign) and _name(step.target) == name]
    begun = [
        again.value
        for again in walk_tree(loop.node)
        if isinstance(again, ast.Assign) and any(_name(target) == name for target in again.targets)
    ]
    return (
        len(counted) == 1
        and isinstance(counted[0].op, ast.Add)
        and bool(begun)
        and all(isinstance(value, ast.Constant) and value.value == 0 for value in begun)
        and isinstance(counted[0].value, ast.Constant)
    )


def is_constant(guard: Guard, loop: Loop) -> bool:
    """Whether a condition is the same in every iteration of a loop: made of names that nothing in it sets."""
    if guard.module is not loop.module:
        return False
    names = guard.module.once("names", guard.test, names_without_calls)
    return names is not None and names.isdisjoint(loop.sets)


def names_without_calls(test: ast.expr) -> frozenset[str] | None:
    """The names in a condition; None if it calls anything but ``isinstance``."""
    nodes = list(walk_tree(test))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    if any(getattr(call.func, "id", "") != "isinstance" for call in calls):
        return None
    return frozenset(map(_name, nodes)) - {"", "isinstance"}


def spelt_out(test: ast.expr, context: Context) -> ast.expr:
    """A condition with names in it, as what was assigned to the names."""

    for _ in range(2):
        names = {node.id for node in walk_tree(test) if isinstance(node, ast.Name) and _condition(node, context)}
        if names:
            import copy

            test = Speller(context).visit(copy.deepcopy(test))
    return test


def _condition(node: ast.Name, context: Context) -> ast.expr | None:
    """The condition that a name stands for."""
    values = context.scope.values.get(node.id, [])
    conditions = (ast.Compare, ast.BoolOp, ast.UnaryOp)
    if len(values) == 1 and values[0].how == "is" and isinstance(values[0].expression, conditions):
        return values[0].expression
    return None


class Speller(ast.NodeTransformer):
    """Puts conditions in the place of the names that stand for them."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return _condition(node, self.context) or node


def _name(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
