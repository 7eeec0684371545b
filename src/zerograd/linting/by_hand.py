"""Steps that are written out: loops that run backward and take ``lr * p.grad`` off the parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.modules import Module
from zerograd.linting.patterns import pattern
from zerograd.linting.scopes import chain
from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import dataclass

UPDATES = pattern(r"[-+]=[^\n]*\.grad\b|\.(?:sub_|add_)\([^\n]*\.grad\b|\.data\s*=[^\n]*\.grad\b")
CLEARS = pattern(
    r"zero_|\.grad\s*=[^=]|set_to_none|del \w[\w.]*\.grad|autograd\.grad|clear_grad|reset_grad|zero_?grads?\b|detach_"
    r"|zero_gradients|no_grads|functional_call|\.step\s*\("
)
CLEARING = ("zero_", ".step(", "set_to_none")
"""The most frequent of them, which need no search of the whole text."""
IN_PLACE = frozenset({"sub_", "add_", "addcmul_", "copy_"})


@dataclass(frozen=True)
class HandStep:
    """``update`` takes a gradient off a parameter that ``backward`` adds to, round and round the ``loop``."""

    backward: ast.Call
    update: ast.stmt
    loop: ast.stmt


def hand_steps(module: Module) -> Iterator[HandStep]:
    """The steps of a file that are written by hand, where nothing in the file clears a gradient."""
    text = module.text
    if "backward" not in text or ".grad" not in text or any(words in text for words in CLEARING):
        return
    if CLEARS.search(text) or not UPDATES.search(text):
        return
    for loop in walk_tree(module.tree):
        if isinstance(loop, (ast.For, ast.While)):
            yield from _of_loop(loop)


def _of_loop(loop: ast.For | ast.While) -> Iterator[HandStep]:
    inside = [node for statement in loop.body for node in walk_tree(statement)]
    backward = next((node for node in inside if _is_backward(node)), None)
    if backward is None or any(_is_inner(node, backward) for node in inside):
        return
    made = {part for node in inside if isinstance(node, ast.Assign) for part in _names(node.targets)}
    walks = {
        target.id: set(_names([node.iter]))
        for node in inside
        if isinstance(node, ast.For) and isinstance(target := node.target, ast.Name)
    }
    for node in inside:
        name = _updated(node)
        if name and name not in made and not walks.get(name, set()) & made:
            assert isinstance(node, ast.stmt)
            assert isinstance(backward, ast.Call)
            yield HandStep(backward, node, loop)
            return


def _is_backward(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "backward"


def _is_inner(node: ast.AST, backward: ast.AST) -> bool:
    return isinstance(node, (ast.For, ast.While)) and any(inner is backward for inner in walk_tree(node))


def _names(nodes: list[ast.expr]) -> Iterator[str]:
    return (part.id for node in nodes for part in walk_tree(node) if isinstance(part, ast.Name))


def _updated(node: ast.AST) -> str:
    """The parameter that a statement changes in place by its own gradient."""
    parts: tuple[str, ...] = ()
    given: list[ast.expr] = []
    if isinstance(node, ast.AugAssign):
        parts, given = chain(node.target), [node.value]
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        parts, given = chain(node.targets[0]), [node.value]
        parts = parts if parts[-1:] == ("data",) else ()
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        *receiver, name = chain(node.value.func) or ("",)
        parts, given = (tuple(receiver), node.value.args) if name in IN_PLACE else ((), [])
    owner = parts[:-1] if parts[-1:] == ("data",) else parts
    return owner[0] if owner and any(_reads_grad(value, owner) for value in given) else ""


def _reads_grad(node: ast.expr, owner: tuple[str, ...]) -> bool:
    """Whether the gradient of ``owner`` is in an expression: what adds up those of others is no step."""
    return any(
        isinstance(part, ast.Attribute) and part.attr == "grad" and chain(part.value) == owner
        for part in walk_tree(node)
    )
