"""Losses: where one is computed, and whether it is handed to something that may run backward."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.paths import name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import EXCHANGES, is_harmless, snake, suspicion
from zerograd.linting.scopes import chain
from zerograd.linting.trees import walk_tree

LOSS = pattern(r"loss|(?:^|_)err(?:or)?(?:_|$)|(?:^|_)cost(?:_|$)|objective|criterion_out")
NO_LOSS = pattern(r"mask|weight|coef|(?:^|_)(?:fn|func|type|name|meter|scale|log|history|dict)s?(?:_|$)")
"""What is said of a loss and is none: it may be handed to a model."""
READS = pattern(
    r"(?:^|_)(?:item|detach|append|print|update|add|log|logs|write|float|mean|sum|format|set|isnan|isfinite|cpu|numpy|str"
    r"|scalar|info|debug|list|postfix|description|stack|cat|min|max|minimum|maximum|abs|sqrt|exp|adapt|len|extend|any|all"
    r"|gather|reduce|clamp|round|to|tolist|averager?|expand|size|view|reshape|squeeze|unsqueeze|type|clone|norm|square|pow|mul|sub|div|where|eq|as|like|put|push|add_scalars|scalars|report|track|record|dict|zip|enumerate|int|bool|correct|accuracy)(?:_|$)"
)
GIVEN = pattern(r"(?:^|_)(?:loss|objective)$")
GRADIENTS = pattern(
    r"backward|autograd|jacobian|[jv]jp|functional_call|perturb|\bes_|evolution|closure|ascend|_and_grad|grad_and|grads?\("
    r"|torch\.func\b|apply_grad"
)
HARMLESS_GRADIENTS = pattern(
    rf"zero_grad|no_grad|\w*backward_grad_sync|{EXCHANGES}|clip_grad\w*|requires_grad\w*|set_grad_enabled|enable_grad"
    r"|autograd\.(?:Variable|set_detect_anomaly|detect_anomaly|profiler)|register_\w*hook"
    r"|\w*loss\w*\)?\.backwards\(\)"
)
CRITERION = pattern(r"loss|criter|cross_entropy|(?:^|_)nll|(?:^|_)mse|(?:^|_)bce|(?:^|_)elbo|(?:^|_)objective")

SCALES = pattern(r"loss_scaler|scaler$")
"""A loss's scaler, as timm has it, goes backward and steps."""


def computes_a_loss_for_nothing(tree: ast.AST, kept: bool = False) -> bool:
    """Whether statements compute a loss, and nothing in them may use it to make gradients.

    ``kept``: a loss that is kept as an attribute counts, too. Other methods can use it, so all else must be known.
    """
    losses = losses_of(tree) | ({*_kept(tree)} if kept else set())
    if not losses:
        return False
    losses |= {name for node in walk_tree(tree) for name in _collecting(node, losses)}
    words = HARMLESS_GRADIENTS.sub("", _words(tree))
    return not GRADIENTS.search(words) and not any(_may_use(call, losses) for call in _calls(tree))


def _words(tree: ast.AST) -> str:
    """Statements as text. The name of a function is not said of what it does."""
    body = tree.body if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)) else [tree]
    return "\n".join(map(ast.unparse, body))


def _kept(tree: ast.AST) -> Iterator[str]:
    """The losses that are computed into attributes: ``logits, self.loss = self.model(x, y)``."""
    for node in walk_tree(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            for target in node.targets:
                for part in getattr(target, "elts", [target]):
                    if isinstance(part, ast.Attribute) and _sounds_like_a_loss(part.attr) and chain(part):
                        yield ".".join(chain(part))


def losses_of(tree: ast.AST) -> set[str]:
    """The names of the losses that statements compute, or that a function is handed."""
    return {*_losses(tree), *_given(tree)}


def _losses(tree: ast.AST) -> Iterator[str]:
    for node in walk_tree(tree):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and LOSS.search(snake(node.target.id)):
            yield node.target.id
        if isinstance(node, ast.Assign) and not isinstance(node.value, (ast.Constant, ast.List, ast.Dict, ast.Tuple)):
            made = any(CRITERION.search(snake(name_of(call.func))) for call in _terms(node.value))
            for target in node.targets:
                for part in walk_tree(target):
                    if isinstance(part, ast.Name) and (made or _sounds_like_a_loss(part.id)):
                        yield part.id


def _collecting(node: ast.AST, losses: set[str]) -> Iterator[str]:
    """The names of a collection of losses: ``losses = [loss_1, loss_2]``."""
    if not isinstance(node, ast.Assign) or not isinstance(node.value, (ast.List, ast.Tuple)):
        return
    if any(isinstance(part, ast.Name) and part.id in losses for part in node.value.elts):
        yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def _sounds_like_a_loss(name: str) -> bool:
    words = snake(name)
    return bool(LOSS.search(words)) and not NO_LOSS.search(words)


def _terms(node: ast.expr) -> Iterator[ast.Call]:
    """The calls of which a value is the sum, the product or the choice."""
    if isinstance(node, ast.Call):
        yield node
    elif isinstance(node, ast.BinOp):
        yield from (*_terms(node.left), *_terms(node.right))
    elif isinstance(node, ast.IfExp):
        yield from (*_terms(node.body), *_terms(node.orelse))


def _given(tree: ast.AST) -> Iterator[str]:
    """The parameters of a function that are losses."""
    if isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from (given.arg for given in tree.args.args if GIVEN.search(snake(given.arg)))


def _calls(tree: ast.AST) -> Iterator[ast.Call]:
    return (node for node in walk_tree(tree) if isinstance(node, ast.Call))


def _may_use(call: ast.Call, losses: set[str]) -> bool:
    """Whether a call is handed a loss and is not known to only read it."""
    name = name_of(call.func)
    handed = any(
        isinstance(argument, (ast.Name, ast.Attribute)) and ".".join(chain(argument)) in losses
        for argument in (*call.args, *(keyword.value for keyword in call.keywords))
    )
    another = (
        CRITERION.search(snake(name)) and not suspicion(name) and not SCALES.search(snake(name))
    )  # a loss of losses, which is computed in the loop
    return handed and not another and not READS.search(name) and not is_harmless(name)
