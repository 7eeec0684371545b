"""Whether a step follows a loop at once: then nothing can look at the gradients in between.

It is read in the source. Where there is none, or where it leaves any doubt, the answer is no.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch

from zerograd.lifecycle.light import are_light

HARMLESS = ("zero_grad", "no_grad", "enable_grad", "requires_grad", "grad_enabled", "accum", "zerograd", "gradscaler")
"""Names with "grad" in them that read no gradient."""


def step_is_next(frame: FrameType, optimizer: Any) -> bool:
    """Whether the statement after the for loop that ends in this frame is a step of an optimizer of ours.

    That is ``optimizer.step()``, or a GradScaler's ``step(optimizer)``. Not if the optimizer has hooks or a step of the
    user's, or the function names gradients anywhere: a norm that is logged after the step is to be the mean's, too.
    """
    call = _steps(frame.f_code.co_filename).get(frame.f_lineno)
    if call is None or not isinstance(call.func, ast.Attribute):
        return False
    receiver = _found(call.func.value, frame)
    if call.args:
        if not isinstance(receiver, torch.amp.GradScaler):
            return False
        receiver = _found(call.args[0], frame)
    return receiver is optimizer and _is_own(optimizer) and are_light(optimizer)


@functools.lru_cache(maxsize=64)
def _steps(file: str) -> dict[int, ast.Call]:
    """By the line that heads a for loop, the call of a ``step`` that is the statement after it."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return {}
    found: dict[int, ast.Call] = {}
    for scope in ast.walk(tree):
        if isinstance(scope, ast.Module | ast.FunctionDef) and not any(map(_names_gradients, ast.walk(scope))):
            for loop, call in _loops_before_steps(scope):
                found.update(dict.fromkeys(range(loop.lineno, (loop.iter.end_lineno or 0) + 1), call))
    return found


def _loops_before_steps(node: ast.AST) -> Iterator[tuple[ast.For, ast.Call]]:
    """Those of a function, without the functions and classes in it."""
    for name in ("body", "orelse", "finalbody"):
        block = getattr(node, name, None)
        statements: list[Any] = block if isinstance(block, list) else []
        for at, one in enumerate(statements):
            after = statements[at + 1] if at + 1 < len(statements) else None
            if isinstance(one, ast.For) and not one.orelse and isinstance(after, ast.Expr) and _is_step(after.value):
                assert isinstance(after.value, ast.Call)
                yield one, after.value
            if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield from _loops_before_steps(one)


def _is_step(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "step"
        and len(node.args) <= 1
        and not node.keywords
    )


def _names_gradients(node: ast.AST) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return "grad" in name.lower() and not any(word in name.lower() for word in HARMLESS)


def _found(node: ast.AST, frame: FrameType) -> Any:
    """What a name, or a path of attributes, stands for in a frame; None for all else. It runs no code of the user's."""
    if isinstance(node, ast.Name):
        return frame.f_locals.get(node.id, frame.f_globals.get(node.id))
    if isinstance(node, ast.Attribute):
        return getattr(_found(node.value, frame), "__dict__", {}).get(node.attr)
    return None


def _is_own(optimizer: Any) -> bool:
    """Whether its step is that of one of our classes, at most with the mark that a torch scheduler puts on it."""
    owner = next(cls for cls in type(optimizer).__mro__ if "step" in cls.__dict__)
    patched = optimizer.__dict__.get("step")
    unpatched = patched is None or (
        hasattr(patched, "_wrapped_by_lr_sched") and getattr(patched, "__wrapped__", None) is owner.__dict__["step"]
    )
    return owner.__module__.startswith("zerograd.") and unpatched
