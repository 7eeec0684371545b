"""Two instances of one class: each has its own of what the class makes, an optimizer and the modules in it."""

from __future__ import annotations

import ast

from zerograd.linting.literals import element
from zerograd.linting.parameters_of import collected
from zerograd.linting.paths import Frame, Path, bare, frame_of
from zerograd.linting.scopes import Class, Scope, Value, chain
from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.linting.binding import Binder


def assigned(binder: Binder, path: Path) -> tuple[list[Value], Path | None]:
    """All that is assigned to a path anywhere, and the instance whose class says so: ``a`` for ``a.optimizer``."""
    home, parts = path.home, path.parts
    if isinstance(home, Scope):
        found = home.values.get(parts[0]) if len(parts) == 1 else home.attributes.get(parts)
        if found:
            return found, None
    for length in range(len(parts) - 1, 0, -1):
        instance = Path(home, parts[:length])
        owner = binder.class_of(instance)
        if owner is not None:
            found = _of_class(binder, owner, parts[length:])
            return found or _of_literal(binder, path), instance
    return _of_literal(binder, path), None


def _of_literal(binder: Binder, path: Path) -> list[Value]:
    """What an element of a collection is that is written out."""
    if len(path.parts) < 2 or path.key is None:
        return []
    return element(assigned(binder, Path(path.home, path.parts[:-1]))[0], path.parts[-1])


def origins_of(binder: Binder, path: Path) -> frozenset[object]:
    """What makes two paths one thing: the path, the calls that it was made by, the paths assigned to it."""
    values, instance = assigned(binder, path)
    found: set[object] = {path}
    for value in values:
        if value.how != "is":
            continue
        if isinstance(value.expression, ast.Call):
            found |= _makings(binder, value.expression, instance)
        elif chain(value.expression):
            other = binder.resolve(value.expression, frame_at(binder, value.scope, instance))
            if other is not None:
                theirs, of = assigned(binder, other)
                calls = [v.expression for v in theirs if isinstance(v.expression, ast.Call)]
                found |= {other}.union(*(_makings(binder, call, of) for call in calls))
    return frozenset(found)


def wrapped_by(binder: Binder, path: Path) -> frozenset[Path]:
    """The optimizers that an optimizer was made from: ``Noam(optimizer)``."""
    if path not in binder.wrapped:
        binder.wrapped[path] = _wrapped_by(binder, path)
    return binder.wrapped[path]


def _wrapped_by(binder: Binder, path: Path) -> frozenset[Path]:
    values, instance = assigned(binder, path)
    found: set[Path] = set()
    for value in values:
        call = value.expression
        if value.how != "is" or not isinstance(call, ast.Call):
            continue
        frame = frame_at(binder, value.scope, instance)
        for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
            other = binder.resolve(argument, frame) if chain(argument) else None
            if other is not None and binder.is_optimizer(other):
                found.add(other)
    return frozenset(found)


def modules_of(binder: Binder, path: Path) -> frozenset[Path] | None:
    """The modules whose parameters an optimizer has, or None where that can't be read off."""
    found: set[Path] = set()
    values, instance = assigned(binder, path)
    known = bool(values)
    for value in values:
        call = bare(value.expression)
        if value.how != "is" or not isinstance(call, ast.Call) or binder.makes(value) is False:
            return None
        given = call.args[:1] or [k.value for k in call.keywords if k.arg == "params"]
        own: set[Path] = set()
        known = collected(binder, given, frame_at(binder, value.scope, instance), own) and known
        if _is_an_instance(instance) and any(_is_given(module, value.scope) for module in own):
            return None  # each instance was given another one
        found |= own
    return frozenset(found) if known and found else None


def frame_at(binder: Binder, scope: Scope, instance: Path | None) -> Frame:
    """The frame of a method of an instance. The parameters of ``__init__`` stand for what it was made with."""
    frame = frame_of(scope)
    if instance is None or scope.owner is None or not scope.parameters:
        return frame
    frame.bound[scope.parameters[0]] = instance
    values, outer = assigned(binder, instance)
    if getattr(scope.node, "name", "") == "__init__" and len(values) == 1:
        call = bare(values[0].expression)
        if isinstance(call, ast.Call) and not any(isinstance(argument, ast.Starred) for argument in call.args):
            around = frame_at(binder, values[0].scope, outer)
            given = dict(zip(scope.parameters[1:], call.args, strict=False))
            given.update({k.arg: k.value for k in call.keywords if k.arg is not None})
            for name, argument in given.items():
                resolved = binder.resolve(argument, around) if name in scope.parameters else None
                if resolved is not None:
                    frame.bound[name] = resolved
    return frame


def _of_class(binder: Binder, owner: Class, parts: tuple[str, ...]) -> list[Value]:
    for ancestor in binder.ancestry(owner):
        if parts in ancestor.attributes:
            return ancestor.attributes[parts]
    return []


def _makings(binder: Binder, call: ast.Call, instance: Path | None) -> set[object]:
    """A call, as each instance makes it for itself."""
    if instance is None or not _is_an_instance(instance):
        return {call}
    return {(call, origin) for origin in binder.origins(instance)}


def _is_an_instance(path: Path | None) -> bool:
    """Whether it is one of several, and not the ``self`` of a class."""
    return path is not None and not (isinstance(path.home, Class) and len(path.parts) == 1)


def _is_given(module: Path, scope: Scope) -> bool:
    """Whether a module is nothing but the parameter of a method."""
    return module.home is scope and module.parts[0] in scope.parameters
