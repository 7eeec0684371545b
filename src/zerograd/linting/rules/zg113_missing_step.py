"""ZG113: gradients are made and cleared again and again, and no step ever uses them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from zerograd.hazards import find
from zerograd.linting.binding import Binder
from zerograd.linting.context import Told
from zerograd.linting.finding import Finding
from zerograd.linting.modules import Module
from zerograd.linting.paths import Path, frame_of
from zerograd.linting.receivers import OTHER_CLASSES, is_harmless
from zerograd.linting.scopes import Class, Function, Scope

CLEARED = re.compile(r"(\w+)(?:\[[^\]\n]*\])?\s*\.\s*zero_grad\s*\(")
LEFT_ALONE = frozenset({"zero_grad", "param_groups", "state_dict", "load_state_dict", "add_param_group", "state"})
"""What may be done with an optimizer that does not step."""
TO_STEP = re.compile(r"closure|autograd\.grad|def on_|optimizer_step")
USES = re.compile(r"\bgrads?\b|_grads?\b|gradients?\b(?!_)|fisher|hessian|influence", re.IGNORECASE)
"""Words for what is done with gradients without a step."""
QUOTED = re.compile(r"#.*|\"[^\"\n]*\"|'[^'\n]*'")
COMMON = re.compile(r"\w*(?:zero|no|enable|requires|clip|accum\w*|set|retain)_grad\w*|gradient_\w+|\w+_gradient\w*_step\w*")


@dataclass(frozen=True)
class Cycle:
    """A clear and a backward in one function; ``loops``: those around the clear, which the backward is in, too."""

    clear: ast.Call | None
    backward: ast.Call
    loops: tuple[ast.stmt, ...]


def check(module: Module, binder: Binder) -> Iterator[Told]:
    text = module.source.text
    if "backward" not in text or module.hooked:
        return
    told: set[Path] = set()
    roots: list[tuple[ast.AST, Scope, Function | None]] = [(module.tree, module.scope, None)]
    roots += [(function.node, function.scope, function) for function in module.functions]
    for node, scope, function in roots:
        own = _text(module, node) if function is not None else text
        if "zero_grad" not in own or "backward" not in own or TO_STEP.search(own):
            continue
        if USES.search(COMMON.sub("", QUOTED.sub("", own))):
            continue
        if all(_steps(name, text) and _steps(name, own) for name in CLEARED.findall(own)):
            continue
        for cycle in _cycles(node):
            assert cycle.clear is not None
            path = binder.resolve(_receiver(cycle.clear), frame_of(scope))
            if path is not None and binder.is_optimizer(path) and _never_steps(module, binder, path, scope, cycle):
                told.add(path)
                yield _told(module, path, cycle)
    for path in _made(module, binder):
        if path not in told and (backward := _idle(module, path)) is not None:
            yield _told(module, path, Cycle(None, backward, ()))


def _made(module: Module, binder: Binder) -> Iterator[Path]:
    """The optimizers that are made in a file and of which no line reads as if they stepped."""
    text = module.source.text
    for scope in (module.scope, *(function.scope for function in module.functions)):
        for name, values in scope.values.items():
            if len(values) == 1 and isinstance(values[0].expression, ast.Call) and not _steps(name, text):
                path = Path(scope, (name,))
                if name not in scope.parameters and binder.constructor(path) is not None:
                    yield path
    for owner in module.classes:
        for parts, values in owner.attributes.items():
            if len(parts) == 1 and isinstance(values[0].expression, ast.Call) and not _steps(parts[0], text):
                path = Path(owner, ("self", *parts))
                if binder.constructor(path) is not None:
                    yield path


def _idle(module: Module, path: Path) -> ast.Call | None:
    """The backward in a loop that an optimizer, made at the same level, is never told of."""
    node = path.home.node
    own = module.source.text if isinstance(node, ast.Module) else _text(module, node)
    plain = COMMON.sub("", QUOTED.sub("", own))
    if "backward" not in own or TO_STEP.search(own) or USES.search(plain) or not _is_left_alone(node, path):
        return None
    if re.search(rf"\w\.{re.escape(path.last)}\b", re.sub(r"\bself\.", "", module.source.text)):
        return None
    for loop in ast.walk(node):
        if isinstance(loop, (ast.For, ast.AsyncFor, ast.While)):
            for call in ast.walk(loop):
                if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in ("backward", "manual_backward"):
                    return call
    return None


def _told(module: Module, path: Path, cycle: Cycle) -> Told:
    hazard = find("ZG113")
    before = f"zero {cycle.clear.lineno}, " if cycle.clear is not None else ""
    message = (
        f"{hazard.name}: {before}backward {cycle.backward.lineno}, and `{path}` never steps: "
        f"the gradients are made for nothing; call `{path}.step()` after backward"
    )
    place = cycle.backward
    found = Finding.at(module.source, place.lineno, place.col_offset, hazard.code, hazard.severity, message)
    return found, frozenset({n.lineno for n in (place, cycle.clear) if n is not None} | {place.end_lineno or 0})


def _text(module: Module, node: ast.AST) -> str:
    return "\n".join(module.source.lines[getattr(node, "lineno", 1) - 1 : getattr(node, "end_lineno", 0)])


def _steps(name: str, text: str) -> bool:
    """Whether a text has something that steps an optimizer of this name, or is handed it to step."""
    word = "_?" + re.escape(name.lstrip("_"))
    return bool(re.search(rf"\b{word}\b[\w\[\]\"'.]*\.\w*step|step\w*\([^)\n]*\b{word}\b", text))


def _receiver(call: ast.Call) -> ast.expr:
    assert isinstance(call.func, ast.Attribute)
    return call.func.value


def _cycles(node: ast.AST) -> Iterator[Cycle]:
    """Clears of a function's own statements, each with the first backward that is in the loops around it."""
    clears: list[tuple[ast.Call, tuple[ast.stmt, ...]]] = []
    backwards: list[tuple[ast.Call, tuple[ast.stmt, ...]]] = []
    waiting: list[tuple[ast.AST, tuple[ast.stmt, ...]]] = [(child, ()) for child in getattr(node, "body", [])]
    while waiting:
        current, loops = waiting.pop()
        if isinstance(current, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            continue
        if isinstance(current, ast.Call) and isinstance(current.func, ast.Attribute):
            if current.func.attr == "zero_grad":
                clears.append((current, loops))
            elif current.func.attr in ("backward", "manual_backward"):
                backwards.append((current, loops))
        inner = (*loops, current) if isinstance(current, (ast.For, ast.AsyncFor, ast.While)) else loops
        waiting += [(child, inner) for child in ast.iter_child_nodes(current)]
    for clear, loops in sorted(clears, key=lambda pair: pair[0].lineno):
        shared = [backward for backward, others in backwards if others[: len(loops)] == loops]
        if not loops:
            shared = [backward for backward in shared if backward.lineno > clear.lineno]
        if shared:
            yield Cycle(clear, min(shared, key=lambda call: call.lineno), loops)


def _never_steps(module: Module, binder: Binder, path: Path, scope: Scope, cycle: Cycle) -> bool:
    home, name = path.home, path.last
    if path.parts[-1] != name:
        return False
    if isinstance(home, Class):
        others = re.findall(rf"\b(?!self\b)\w+\.{re.escape(name)}\b", module.source.text)
        return not others and not _steps(name, _text(module, home.node)) and _is_left_alone(home.node, path)
    sibling = home is scope and bool(re.search(r"\w\.step\(\s*\)", _text(module, home.node)))
    if not (cycle.loops or sibling) or (home is not scope and home.parent is not None):
        return False
    return not _steps(name, _text(module, home.node) if home.parent is not None else module.source.text) and (
        _is_left_alone(home.node, path)
    )


def _is_left_alone(node: ast.AST, path: Path) -> bool:
    """Whether nothing is done with an optimizer that might be a step: it is handed to schedulers, saved and cleared."""
    allowed: set[ast.AST] = set()
    for current in ast.walk(node):
        if isinstance(current, ast.Attribute) and current.attr in LEFT_ALONE:
            allowed.add(current.value)
        elif isinstance(current, ast.Call):
            name = getattr(current.func, "attr", getattr(current.func, "id", ""))
            if OTHER_CLASSES.search(name) or is_harmless(name):
                allowed.update(current.args)
                allowed.update(keyword.value for keyword in current.keywords)
        elif isinstance(current, ast.Compare):
            allowed.add(current.left)
        elif isinstance(current, ast.If):
            allowed.add(current.test)
        elif isinstance(current, (ast.Return, ast.Yield)) and current.value is not None and _is(current.value, path):
            return False
    return not any(_is(current, path) and current not in allowed for current in ast.walk(node))


def _is(node: ast.AST, path: Path) -> bool:
    """Whether a node reads the optimizer."""
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return False
    if isinstance(node, ast.Name):
        return len(path.parts) == 1 and node.id == path.last
    return isinstance(node, ast.Attribute) and len(path.parts) > 1 and node.attr == path.last
