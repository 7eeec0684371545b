"""ZG107: gradients of several batches are summed and nothing divides: the step grows with the window."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.graph import Loop
from zerograd.linting.modules import Module
from zerograd.linting.paths import name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.state import CLEAR
from zerograd.linting.trees import names_in, walk_tree
from zerograd.linting.windowing import Window, windows

DIVISION = (ast.Div, ast.FloorDiv)
ROUNDS = 3
SUMS = pattern(
    r"reduction\s*=\s*['\"](?:sum|none)|accumulate\(|gradient_accumulation_steps\s*=|normali[sz]e_grad"
    r"|grad(?:\.data)?\.(?:div|mul)_?\("
)
"""Words of a function that has other ways than a division of the loss."""
DIVIDES = pattern(
    r"reduction\s*=\s*['\"](?:sum|none)|\.sum\(|accumulate\(|\.div_?\(|true_divide|\.mul_?\(|divide_by|normali[sz]"
)


def _function_around(loop: Loop) -> ast.stmt | ast.expr:
    """The function that a loop is in, which need not be the one that is looked at; else the loop itself."""
    around = [f.node for f in loop.module.functions if any(node is loop.node for node in walk_tree(f.node))]
    return min(around, key=lambda node: (node.end_lineno or 0) - node.lineno, default=loop.node)


def _divides(window: Window) -> bool:
    """Whether the loss, or what it is made of, is divided, or something else is by the length of the window."""
    function = _function_around(window.loop)
    module = window.loop.module
    if SUMS.search("\n".join(module.rows[function.lineno - 1 : function.end_lineno])):
        return True
    lengths = {
        ast.unparse(node.right)
        for node in walk_tree(window.guard.test)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod)
    }
    for dividend, divisor in _divisions(function):
        if (divisor in lengths and "len(" not in dividend) or "grad" in dividend:
            return True
    return any(_has_a_division(part, module) for part in _made_of(window.view.event(window.backward).node, function))


def _divisions(function: ast.AST) -> Iterator[tuple[str, str]]:
    """What is divided in a function, and by what."""
    for node in walk_tree(function):
        if isinstance(node, ast.BinOp) and isinstance(node.op, DIVISION):
            yield ast.unparse(node.left), ast.unparse(node.right)
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, DIVISION):
            yield ast.unparse(node.target), ast.unparse(node.value)


def _made_of(backward: ast.AST, function: ast.AST) -> list[ast.AST]:
    """The call of backward, and all that is assigned in the function to the names in it, and to those in that."""
    parts, names = [backward], names_in(backward)
    assigned = [node for node in walk_tree(function) if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign))]
    for _ in range(ROUNDS):
        found = [node for node in assigned if node not in parts and names & _targets(node)]
        parts += found
        for node in found:
            names |= names_in(node.value) if node.value is not None else set()
    return parts


def _targets(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> set[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {name for target in targets for name in names_in(target)}


def _has_a_division(node: ast.AST, module: Module) -> bool:
    """Whether a part of a loss is divided where it stands, or in a function of the file that makes it."""
    words = ast.unparse(node)
    if DIVIDES.search(words) or re.search(r"\*\s*\(?1\.?0?\s*/|_scale|scale_", words):
        return True
    for part in walk_tree(node):
        if isinstance(getattr(part, "op", None), DIVISION):
            return True
        name = name_of(part.func) if isinstance(part, ast.Call) else ""
        if name and any(f.name == name and "/" in "\n".join(_lines(f.node, module)) for f in module.functions):
            return True
    return False


def _lines(node: ast.AST, module: Module) -> list[str]:
    return module.rows[getattr(node, "lineno", 1) - 1 : getattr(node, "end_lineno", 0)]


def check(context: Context) -> Iterator[Told]:
    told: set[int] = set()
    for window in windows(context):
        view = window.view
        guarded = [
            node
            for node in view.of(CLEAR)
            if any(guard.statement is window.guard.statement for guard in context.graph.guards[node])
        ]
        if window.sort != "modulo" or window.backward in told or not guarded:
            continue
        if _divides(window):
            continue
        told.add(window.backward)
        yield context.tell(
            "ZG107",
            view.event(window.backward),
            "the gradients of a window are summed and never divided: divide the loss by the number of batches in it",
            also=[view.event(window.step)],
        )
