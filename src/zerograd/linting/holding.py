"""What an unknown callee can get at: it can only touch the gradients of what it was handed, now or when it was made."""

from __future__ import annotations

import ast

from zerograd.linting.binding import Binder
from zerograd.linting.losses import LOSS
from zerograd.linting.paths import DEPTH, Frame, Path, frame_of, name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import MODULE_NAME, Suspicion, snake
from zerograd.linting.scopes import chain
from zerograd.stand_ins import Literal

CALLBACK = pattern(r"callbacks?(?:_|$)|(?:^|_)cbs?(?:_|$)")
TOLD = pattern(r"^on_(?!.*(?:backward|optim|grad|loss))")
Held = Literal["nothing", "tensors", "modules", "all"]
"""Nothing that has to do with gradients; a loss; modules; or, as far as can be told, anything."""
ORDER: tuple[Held, ...] = ("nothing", "tensors", "modules", "all")

PARAMETERS = frozenset({"parameters", "named_parameters"})


def may_touch(node: ast.Call, suspicion: Suspicion, frame: Frame, binder: Binder) -> bool:
    """Whether a callee that sounds like training can get at the gradients of an optimizer."""
    if not suspicion or _is_a_told_callback(node, frame, binder):
        return False
    own = _of_callee(node.func, frame, binder)
    if own == "all":
        return True
    given = _most(_of_argument(argument, frame, binder) for argument in _arguments(node))
    needed: Held = "all" if suspicion == "weak" else "tensors"
    return ORDER.index(max(own, given, key=ORDER.index)) >= ORDER.index(needed)


def held_by(path: Path, binder: Binder) -> Held:
    """What an object that was made by a call may get at."""
    return _of_object(path, binder, 0)


def _is_a_told_callback(node: ast.Call, frame: Frame, binder: Binder) -> bool:
    """Whether a callback that somebody else has made is told something: ``callback.on_step(loss.item())``.

    It can do something to an optimizer only if it is handed one, or the object that has it.
    """
    function = node.func
    if not isinstance(function, ast.Attribute) or not TOLD.search(function.attr):
        return False
    parts = chain(function.value)
    if not parts or not CALLBACK.search(snake(parts[-1])):
        return False
    if any(_of_argument(argument, frame, binder) == "all" for argument in _arguments(node)):
        return False
    path = binder.resolve(function.value, frame)
    return path is not None and not _is_made_here(path, binder, 0)


def _is_made_here(path: Path, binder: Binder, depth: int) -> bool:
    """Whether a call of the file gives something, or may."""
    for value in binder.values(path):
        if isinstance(value.expression, ast.Constant):
            continue
        other = binder.resolve(value.expression, frame_of(value.scope)) if chain(value.expression) else None
        if other is None or other == path or depth > DEPTH or _is_made_here(other, binder, depth + 1):
            return True
    return False


def is_an_element_without_optimizers(path: Path, binder: Binder) -> bool:
    """Whether something is a part of what a class made from no optimizer: ``Sequential(net, noise)[1]``."""
    whole = path.whole
    values = binder.values(whole) if whole is not path else []
    made = [value for value in values if value.how == "is" and isinstance(value.expression, ast.Call)]
    return (
        bool(made)
        and len(made) == len(values)
        and all(name_of(value.expression.func)[:1].isupper() for value in made)  # type: ignore[attr-defined]
        and _of_object(whole, binder, 0) != "all"
    )


def _arguments(node: ast.Call) -> list[ast.expr]:
    return [*node.args, *(keyword.value for keyword in node.keywords)]


def _most(held: object) -> Held:
    return max(held, key=ORDER.index, default="nothing")  # type: ignore[call-overload,no-any-return]


def _of_callee(function: ast.expr, frame: Frame, binder: Binder) -> Held:
    """What the callee itself holds: an imported function nothing, an object what it was made from."""
    parts = chain(function)
    if not parts:
        return "all"
    if len(parts) == 1 and _is_imported(parts[0], frame):
        return "nothing"
    if len(parts) == 2 and _is_imported(parts[0], frame):
        return "nothing"
    owner = function.value if isinstance(function, ast.Attribute) else function
    path = binder.resolve(owner, frame)
    return "all" if path is None else _of_object(path, binder, 0)


def _is_imported(name: str, frame: Frame) -> bool:
    here: Frame | None = frame
    while here is not None:
        if name in here.scope.imports:
            return True
        if here.scope.has(name):
            return False
        here = here.parent
    return False


def _of_object(path: Path, binder: Binder, depth: int) -> Held:
    """What an object may hold that a call has made; of any other object nothing is known."""
    values = binder.values(path)
    if not values or depth > DEPTH:
        return "all"
    held: list[Held] = []
    for value in values:
        node = value.expression
        if isinstance(node, ast.Constant):
            continue
        if value.how == "is" and isinstance(node, (ast.List, ast.Tuple, ast.Dict)):
            held.append(_of_argument(node, frame_of(value.scope), binder, depth + 1))
            continue
        if value.how != "is" or not isinstance(node, ast.Call):
            return "all"
        frame = frame_of(value.scope)
        held += [_of_argument(argument, frame, binder, depth + 1) for argument in _arguments(node)]
        if isinstance(node.func, ast.Attribute) and not _is_imported(next(iter(chain(node.func)), ""), frame):
            owner = binder.resolve(node.func.value, frame)
            if owner is None or owner == path:
                return "all"
            held.append(_of_object(owner, binder, depth + 1))
        elif not chain(node.func):
            return "all"
    return _most(held)


def _of_argument(node: ast.expr, frame: Frame, binder: Binder, depth: int = 0) -> Held:
    """What is handed over with an argument."""
    if isinstance(node, (ast.Constant, ast.JoinedStr, ast.Compare)):
        return "nothing"
    if isinstance(node, ast.Lambda):
        return "all"
    if isinstance(node, ast.Starred):
        node = node.value
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return _most(_of_argument(part, frame, binder, depth) for part in node.elts)
    if isinstance(node, ast.Dict):
        return _most(_of_argument(part, frame, binder, depth) for part in node.values)
    if isinstance(node, ast.Call) and depth < DEPTH:
        if name_of(node.func) in PARAMETERS and not node.args:
            return "modules"
        return _most(_of_argument(part, frame, binder, depth + 1) for part in _arguments(node))
    parts = chain(node)
    if not parts:
        return "nothing"
    if parts in (("self",), ("args",), ("kwargs",)) and parts[0] in frame.scope.parameters:
        return "all"
    if parts[-1] in PARAMETERS and len(parts) > 1:
        return "modules"  # the method itself is as good as what it gives
    path = binder.resolve(node, frame)
    if path is None:
        return "nothing"
    if binder.is_optimizer(path):
        return "all"
    if path.last in path.home.module.module_names or MODULE_NAME.search(snake(path.last)):
        return "modules"
    return "tensors" if LOSS.search(snake(path.last)) else "nothing"
