"""Callees whose source is not known, and which may go backward themselves: pipelines, caches of gradients, policies."""

from __future__ import annotations

import ast

from zerograd.linting.binding import Binder
from zerograd.linting.holding import held_by
from zerograd.linting.losses import CRITERION
from zerograd.linting.paths import Frame, Path, bare, name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import CLASSES, MODULE_NAME, is_harmless, only_reports, snake, steps_otherwise
from zerograd.linting.scopes import Value, chain
from zerograd.linting.trees import walk_tree

PIPELINE = pattern(r"pipelin|^_?Schedule[A-Z0-9]|^pp_|(?:^|_)pipe(?:line)?_?sched")
"""Names of what makes a pipeline's schedule, and of the schedule: its step runs forward and backward."""
WHOLE_STEP = frozenset({"target", "losses"})
"""Keywords of a step that computes losses."""
PLAIN_CLASS = pattern(
    r"Loss|Criterion|Model|Net|Module|Transformer|Diffusion|Parallel|DDP|FSDP|Wrapper|Metric|Eval|EMA"
)
"""Classes of modules, of losses, and of what measures: to call one of them is a forward."""
REPLAYS = frozenset({"replay"})
"""What runs again all that a CUDA graph has recorded."""
LEARNS = frozenset({"update", "learn", "optimize"})


def steps_a_pipeline(node: ast.Call, receiver: ast.expr, path: Path | None, binder: Binder) -> bool:
    """Whether a ``step`` is one of a pipeline's schedule, which goes forward and backward in it."""
    if any(keyword.arg in WHOLE_STEP for keyword in node.keywords) or PIPELINE.search(snake(name_of(receiver))):
        return True
    makers = [word for value in _calls_of(path, binder) for word in _maker(value, binder)]
    return any(map(PIPELINE.search, makers))


def may_go_backward(tree: ast.AST, frame: Frame, binder: Binder) -> bool:
    """Whether statements call something unknown that may run backward on its own, though it is handed no loss."""
    return any(isinstance(node, ast.Call) and _may_go_backward(node, frame, binder) for node in walk_tree(tree))


def is_of_a_known_class(path: Path, binder: Binder) -> bool:
    """Whether an optimizer steps on gradients: not if its class is unknown, or one of the file that reads none."""
    for value in _calls_of(path, binder):
        words = _maker(value, binder)
        if not words or not words[-1][:1].isupper() or words[-1] in CLASSES or "optim" in words[:-1]:
            continue
        own = binder.find_class(bare(value.expression).func, value.scope)  # type: ignore[attr-defined]
        if own is None or not any("grad" in row for row in _rows(own.node, own.module.rows)):
            return False
    return True


def _rows(node: ast.AST, rows: list[str]) -> list[str]:
    return rows[getattr(node, "lineno", 1) - 1 : getattr(node, "end_lineno", 0)]


def _calls_of(path: Path | None, binder: Binder) -> list[Value]:
    """The calls that a path was made by."""
    values = binder.values(path) if path is not None else []
    return [value for value in values if value.how == "is" and isinstance(bare(value.expression), ast.Call)]


def _maker(value: Value, binder: Binder) -> list[str]:
    """The dotted name of what makes a value."""
    return binder.dotted(bare(value.expression).func, value.scope)  # type: ignore[attr-defined]


def _may_go_backward(node: ast.Call, frame: Frame, binder: Binder) -> bool:
    name, parts = name_of(node.func), chain(node.func)
    if not parts or binder.find_callee(node.func, frame) is not None:
        return False
    if isinstance(node.func, ast.Attribute) and (name in REPLAYS or PIPELINE.search(snake("_".join(parts[-2:])))):
        return True
    if isinstance(node.func, ast.Attribute) and name in LEARNS and len(parts) > 1:
        owner = snake(parts[-2])
        return bool(MODULE_NAME.search(owner)) and not only_reports(owner) and not steps_otherwise(owner)
    path = binder.resolve(node.func, frame)
    return path is not None and _is_made_from_modules(path, binder)


def _is_made_from_modules(path: Path, binder: Binder) -> bool:
    """Whether an object that is called was made from modules by an imported class, and nothing says it is a module."""
    if path.last in path.home.module.module_names or MODULE_NAME.search(snake(path.last)):
        return False
    if CRITERION.search(snake(path.last)) or is_harmless(path.last):
        return False
    calls = _calls_of(path, binder)
    return (
        bool(calls)
        and all(
            (words := _maker(value, binder))
            and bare(value.expression) is value.expression  # what is moved to a device is a module
            and words[-1][:1].isupper()
            and words[0] != "torch"
            and not PLAIN_CLASS.search(words[-1])
            and binder.find_class(bare(value.expression).func, value.scope) is None  # type: ignore[attr-defined]
            and held_by(path, binder) in ("modules", "all")
            for value in calls
        )
    )
