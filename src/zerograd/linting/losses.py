"""Losses: where one is computed, and whether it is handed to something that may run backward."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.linting.receivers import is_harmless

LOSS = re.compile(r"loss|(?:^|_)err(?:or)?(?:_|$)|(?:^|_)cost(?:_|$)|objective|criterion_out")
READS = re.compile(
    r"(?:^|_)(?:item|detach|append|print|update|add|log|logs|write|float|mean|sum|format|set|isnan|isfinite|cpu|numpy|str"
    r"|scalar|info|debug|list|postfix|description|stack|cat)(?:_|$)"
)
GRADIENTS = re.compile(
    r"backward|\bgrad\b|_grad\b|jacobian|vjp|autograd|functional_call|perturb|es_|evolution|closure|ascend"
)
HARMLESS_GRADIENTS = re.compile(r"zero_grad|no_grad|clip_grad\w*|requires_grad\w*|set_grad_enabled|enable_grad")


def computes_a_loss_for_nothing(tree: ast.AST) -> bool:
    """Whether statements compute a loss, and nothing in them may use it to make gradients."""
    losses = set(_losses(tree))
    if not losses:
        return False
    words = HARMLESS_GRADIENTS.sub("", ast.unparse(tree))
    return not GRADIENTS.search(words) and not any(_may_use(call, losses) for call in _calls(tree))


def _losses(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(isinstance(part, ast.Call) for part in ast.walk(node.value)):
            for target in node.targets:
                for part in ast.walk(target):
                    if isinstance(part, ast.Name) and LOSS.search(part.id.lower()):
                        yield part.id


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _may_use(call: ast.Call, losses: set[str]) -> bool:
    """Whether a call is handed a loss and is not known to only read it."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    handed = any(
        isinstance(argument, ast.Name) and argument.id in losses
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
    )
    return handed and not READS.search(name) and not is_harmless(name)
