"""ZG112: a call hands one optimizer to two parameters, while another optimizer stands by unused."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.hazards import find
from zerograd.linting.binding import Binder
from zerograd.linting.context import Told
from zerograd.linting.finding import Finding
from zerograd.linting.lines import Marks
from zerograd.linting.modules import Module
from zerograd.linting.paths import Path, frame_of
from zerograd.linting.receivers import sounds_like_an_optimizer
from zerograd.linting.scopes import Scope, chain

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def check(module: Module, binder: Binder) -> Iterator[Told]:
    takers = {
        function.name
        for function in module.functions
        if sum(map(sounds_like_an_optimizer, function.scope.parameters)) > 1
    }
    if not takers:
        return
    scopes = [module.scope, *(function.scope for function in module.functions if module.touches(function.node))]
    named = [at for word, at in module.lines.words.items() if word in takers or _is_capital(word)]
    marks = module.lines.marks(number for at in named for number in at)
    for scope in scopes:
        for call in _calls_of(scope, marks):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            known = name in takers or _is_capital(name)
            callee = binder.find_callee(call.func, frame_of(scope)) if known else None
            if callee is None:
                continue
            parameters = callee[0].scope.parameters[1 if callee[2] is not None else 0 :]
            yield from _doubled(module, binder, scope, call, parameters)


def _doubled(module: Module, binder: Binder, scope: Scope, call: ast.Call, parameters: list[str]) -> Iterator[Told]:
    given = dict(zip(parameters, call.args, strict=False))
    given.update({k.arg: k.value for k in call.keywords if k.arg is not None})
    frame = frame_of(scope)
    seen: dict[Path, str] = {}
    for name, argument in given.items():
        path = binder.resolve(argument, frame) if chain(argument) else None
        if path is None or not sounds_like_an_optimizer(name) or not binder.is_optimizer(path):
            continue
        if path not in seen:
            seen[path] = name
            continue
        idle = [other for other in _optimizers_of(scope, binder) if other not in map(str, seen) and other != str(path)]
        used = {ast.unparse(value) for value in given.values()}
        if not [other for other in idle if other not in used]:
            continue
        message = (
            f"{find('ZG112').name}: `{path}` is handed over as `{seen[path]}` and as `{name}`, "
            f"and `{idle[0]}` stands by; hand `{idle[0]}` over as one of them"
        )
        found = Finding.at(module.source, call.lineno, call.col_offset, "ZG112", find("ZG112").severity, message)
        yield found, frozenset({call.lineno, call.end_lineno or call.lineno})


def _optimizers_of(scope: Scope, binder: Binder) -> list[str]:
    names = [*scope.values, *(name for name in scope.parameters if sounds_like_an_optimizer(name))]
    return [name for name in names if binder.is_optimizer(Path(scope, (name,)))]


def _is_capital(name: str) -> bool:
    return name[:1].isupper() and name not in ("None", "True", "False")


def _calls_of(scope: Scope, marks: Marks) -> Iterator[ast.Call]:
    """The calls of two things or more in a scope's own statements, of those that have a marked line."""
    waiting: list[ast.AST] = list(getattr(scope.node, "body", []))
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTIONS) or (isinstance(node, ast.stmt) and not marks.within(node)):
            continue
        if isinstance(node, ast.Call) and len(node.args) + len(node.keywords) > 1:
            yield node
        waiting.extend(ast.iter_child_nodes(node))
