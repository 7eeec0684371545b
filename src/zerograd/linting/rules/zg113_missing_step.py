"""ZG113: gradients are made and cleared again and again, and no step ever uses them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.hazards import find
from zerograd.linting.binding import Binder
from zerograd.linting.context import Context, Told
from zerograd.linting.finding import Finding
from zerograd.linting.idle import (
    TAKES_OVER,
    are_used,
    has_open_methods,
    is_given_one_thing_twice,
    never_steps,
    steps,
    text_of,
)
from zerograd.linting.left_behind import PART, WHOLE, unstepped
from zerograd.linting.lines import within
from zerograd.linting.missing_on_a_way import without_step
from zerograd.linting.modules import Module
from zerograd.linting.paths import Path, frame_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import snake, sounds_like_an_optimizer, steps_otherwise
from zerograd.linting.scopes import Class, Scope
from zerograd.linting.state import overlap
from zerograd.linting.trees import names_in, walk_tree
from zerograd.linting.wasted_gradients import wasted
from zerograd.stand_ins import dataclass

CLEARED = pattern(r"\b((?:\w+\.)*\w+)(?:\[[^\]\n]*\])?\s*\.\s*zero_grad\s*\(")
ANY_STEP = pattern(r"(\w+)(?:\[[^\]\n]*\])?\.\w*step\w*\(")
STEPPED = pattern(r"(\w+)\.step\(\s*\)")
BACKWARD = ("backward", "manual_backward")
LOOPS = (ast.For, ast.AsyncFor, ast.While)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Cycle:
    """A clear and a backward in one function; ``loops``: those around the clear, which the backward is in, too."""

    clear: ast.Call | None
    backward: ast.Call
    loops: tuple[ast.stmt, ...]


def check(module: Module, binder: Binder) -> Iterator[Told]:
    if "backward" not in module.text or module.hooked:
        return
    told: set[Path] = set()
    for path, cycle in (*_cleared(module, binder), *_made(module, binder), *_handed_over(module)):
        if path not in told:
            told.add(path)
            yield _told(module, path, cycle)


def check_flow(context: Context) -> Iterator[Told]:
    """The same where a function runs backward, clears, and nothing in it or after it can have stepped."""
    for found in unstepped(context):
        backward, clear = found.view.event(found.backward), found.view.event(found.clear)
        yield context.tell(
            "ZG113",
            backward,
            f"backward {context.line(backward)}, zero {context.line(clear)}, and `{found.view.path}` does not step: "
            f"the gradients are made for nothing; call `{found.view.path}.step()` after backward",
            also=[clear],
        )

    for way in without_step(context):
        backward = way.view.event(way.node)
        yield context.tell(
            "ZG113",
            backward,
            f"backward {context.line(backward)}, and `{way.view.path}` does not step{way.where}: "
            f"the gradients are made for nothing there; call `{way.view.path}.step()` after backward",
        )

    for waste in wasted(context):
        if waste.step is not None:
            continue
        backward, clear = waste.view.event(waste.backward), waste.view.event(waste.clear)
        yield context.tell(
            "ZG113",
            backward,
            f"backward {context.line(backward)}, zero {context.line(clear)}, and no step of `{waste.view.path}` "
            f"between: the gradients are made for nothing; call `{waste.view.path}.step()` after this backward",
            also=[clear],
        )


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


def _cleared(module: Module, binder: Binder) -> Iterator[tuple[Path, Cycle]]:
    """Optimizers that are cleared before a backward, in a loop or beside another one that steps."""
    named = {number: CLEARED.findall(line) for number, line in module.lines.numbered if "zero_grad" in line}
    clears = sorted(named)
    backwards = module.going_back
    roots: list[tuple[ast.AST, Scope]] = [(module.tree, module.scope)]
    roots += [(function.node, function.scope) for function in module.functions]
    for node, scope in roots if clears and backwards else ():
        if not isinstance(node, ast.Module) and not (within(clears, node) and within(backwards, node)):
            continue
        own = text_of(module, node)
        first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", len(module.source.lines))
        inside = {words for number in clears if first <= number <= last for words in named[number]}
        if all(steps(words.removeprefix("self."), own) for words in inside):
            continue
        for cycle in _cycles(node, module):
            receiver = getattr(getattr(cycle.clear, "func", None), "value", None)
            path = binder.resolve(receiver, frame_of(scope)) if receiver is not None else None
            if path is None or not binder.is_optimizer(path) or not _is_judged_here(path, scope, cycle, own, binder):
                continue
            others_step = STEPPED.search(own) is not None
            around = cycle.loops[0] if cycle.loops else node if others_step else None
            if not are_used(cycle.loops[0] if cycle.loops else node) and never_steps(module, path, binder, around):
                yield path, cycle


def _is_judged_here(path: Path, scope: Scope, cycle: Cycle, own: str, binder: Binder) -> bool:
    """Whether the step would have to be in this function, or in the class."""
    if isinstance(path.home, Class):
        return True
    if path.home is not scope and _is_made(path, binder):
        return True
    if path.parts[0] in scope.parameters and not cycle.loops and is_given_one_thing_twice(scope):
        return False
    return (path.home is scope or path.home.parent is None) and bool(cycle.loops or STEPPED.search(own))


def _is_made(path: Path, binder: Binder) -> bool:
    """Whether a function around, or the file, has made an optimizer: all that may step it is in there."""
    values = binder.values(path) if isinstance(path.home, Scope) and path.parts[0] not in path.home.parameters else []
    return bool(values) and all(
        value.how in ("is", "part") and isinstance(value.expression, ast.Call) for value in values
    )


def _cycles(node: ast.AST, module: Module) -> Iterator[Cycle]:
    """Clears of a function's own statements, each with the first backward that is in the loops around it."""
    clears: list[tuple[ast.Call, tuple[ast.stmt, ...]]] = []
    backwards: list[tuple[ast.Call, tuple[ast.stmt, ...]]] = []
    marked = module.lines.marks([*module.clearing, *module.going_back]).within
    waiting: list[tuple[ast.AST, tuple[ast.stmt, ...]]] = [(child, ()) for child in getattr(node, "body", [])]
    while waiting:
        current, loops = waiting.pop()
        if isinstance(current, FUNCTIONS) or (isinstance(current, ast.stmt) and not marked(current)):
            continue
        if isinstance(current, ast.Call) and isinstance(current.func, ast.Attribute):
            if current.func.attr == "zero_grad":
                clears.append((current, loops))
            elif current.func.attr in BACKWARD:
                backwards.append((current, loops))
        inner = (*loops, current) if isinstance(current, LOOPS) else loops
        waiting += [(child, inner) for child in ast.iter_child_nodes(current)]
    for clear, loops in sorted(clears, key=lambda pair: pair[0].lineno):
        shared = [backward for backward, others in backwards if others[: len(loops)] == loops]
        later = [backward for backward in shared if backward.lineno > clear.lineno]
        shared = later if later or not loops else shared
        if shared:
            yield Cycle(clear, min(shared, key=lambda call: call.lineno), loops)


def _made(module: Module, binder: Binder) -> Iterator[tuple[Path, Cycle]]:
    """Optimizers that are made beside a loop with backward in it, and then forgotten."""
    text = module.text
    paths = [
        Path(scope, (name,))
        for scope in (module.scope, *(function.scope for function in module.functions))
        for name, values in scope.values.items()
        if isinstance(values[0].expression, ast.Call) and name not in scope.parameters
    ]
    paths += [
        Path(owner, ("self", *parts))
        for owner in module.classes
        for parts, values in owner.attributes.items()
        if len(parts) == 1 and isinstance(values[0].expression, ast.Call)
    ]
    for path in paths:
        if binder.constructor(path) is None or steps(path.last, text):
            continue
        if isinstance(path.home, Class) and any(map(has_open_methods, binder.ancestry(path.home))):
            continue  # what fills them in may step
        backward = _in_a_loop(path.home.node, module) or _in_a_method(path, module, binder)
        if backward is not None and not are_used(path.home.node) and never_steps(module, path, binder):
            yield path, Cycle(None, backward, ())


def _in_a_method(path: Path, module: Module, binder: Binder) -> ast.Call | None:
    """The backward of a method that does the whole of a step, and clears the module that the optimizer was made for."""
    modules = binder.modules(path)
    for method in path.home.methods.values() if isinstance(path.home, Class) and modules else ():
        name = snake(method.name)
        if PART.search(name) or not WHOLE.search(name) or not module.cycles(method.node):
            continue
        for cycle in _cycles(method.node, module):
            receiver = getattr(getattr(cycle.clear, "func", None), "value", None)
            cleared = binder.resolve(receiver, frame_of(method.scope)) if receiver is not None else None
            if cleared is not None and overlap(modules or (), {cleared}):
                return cycle.backward
    return None


def _handed_over(module: Module) -> Iterator[tuple[Path, Cycle]]:
    """Optimizers that a function is handed and never names, though it clears and runs backward again and again."""
    for function in module.functions:
        names = [name for name in function.scope.parameters if sounds_like_an_optimizer(name)]
        if not names or not module.cycles(function.node):
            continue
        text = text_of(module, function.node)
        stepping = (line for line in text.split("\n") if "step" in line)
        if not all(steps_otherwise(name) for line in stepping for name in ANY_STEP.findall(line)):
            continue
        if TAKES_OVER.search(text) or (backward := _in_a_loop(function.node, module)) is None:
            continue
        read = names_in(function.node)
        for name in names:
            if name not in read and not are_used(function.node):
                yield Path(function.scope, (name,)), Cycle(None, backward, ())


def _in_a_loop(node: ast.AST, module: Module) -> ast.Call | None:
    for loop in walk_tree(node):
        if isinstance(loop, LOOPS) and within(module.going_back, loop):
            for call in walk_tree(loop):
                if isinstance(call, ast.Call) and getattr(call.func, "attr", "") in BACKWARD:
                    return call
    return None
