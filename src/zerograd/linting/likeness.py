"""What is an optimizer by its name, its key, or what is called on it, where nothing shows what it was made from."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from zerograd.linting.naming import asked_to_be_an_optimizer, used_names
from zerograd.linting.paths import Path, name_of
from zerograd.linting.receivers import sounds_like_an_optimizer, steps_otherwise
from zerograd.linting.scopes import Class, Value
from zerograd.linting.trees import walk_tree


def is_like_an_optimizer(path: Path, values: Sequence[Value]) -> bool:
    """Whether a path is one by all that is said of it. ``values``: what is assigned to it."""
    if sounds_like_an_optimizer(path.last) or _has_a_key_like_one(path):
        return True
    if asked_to_be_an_optimizer(path.last, path.home.module.text):
        return True
    return not steps_otherwise(path.last) and not any(map(_is_of_others, values)) and _is_used_like_one(path)


def _has_a_key_like_one(path: Path) -> bool:
    """Whether the key of an element says what it is: ``state["optimizer"]``."""
    return path.key is not None and sounds_like_an_optimizer(path.key)


def walks_through_others(values: Sequence[Value]) -> bool:
    """Whether a name is nothing but what a loop over schedulers or the like gives it."""
    return bool(values) and all(map(_is_of_others, values))


def _is_of_others(value: Value) -> bool:
    """Whether a loop's name walks through schedulers or the like."""
    return value.how.startswith("item") and any(
        isinstance(node, (ast.Name, ast.Attribute)) and steps_otherwise(name_of(node))
        for node in walk_tree(value.expression)
    )


def _is_used_like_one(path: Path) -> bool:
    """Whether an optimizer's methods are called; on a function's own name that counts only in the function."""
    module, name, home = path.home.module, path.last, path.home
    if name not in module.optimizer_names:
        return False
    if isinstance(home, Class) or home.parent is None:
        return True
    first, last = getattr(home.node, "lineno", 1), getattr(home.node, "end_lineno", 0)
    lines = module.source.lines[first - 1 : last]
    return name in module.once("optimizers", home.node, lambda _: used_names("\n".join(lines))[0])
