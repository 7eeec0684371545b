"""Whether a step follows a loop at once: then nothing can look at the gradients in between.

It is read in the bytecode of the frame whose loop ends, which is what really runs next, whatever has become of the
source. Where that leaves any doubt, the answer is no.
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from itertools import pairwise
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, NamedTuple

import torch

from zerograd.lifecycle.light import are_light

HARMLESS = ("zero_grad", "no_grad", "enable_grad", "requires_grad", "grad_enabled", "accum", "zerograd", "gradscaler")
"""Names with "grad" in them that read no gradient."""

PLAIN: tuple[Any, ...] = (object.__getattribute__, ModuleType.__getattribute__)
"""Ways to look an attribute up that run no code of the user's, unless the class has that name."""

Path = tuple[str, ...]
"""A name, and the attributes that are taken of it."""


def step_is_next(frame: FrameType, window: Any, optimizer: Any) -> bool:
    """Whether the next thing after the for loop over a window that ends in this frame is a step of an optimizer of
    ours.

    The loop is over the window itself or its ``enumerate``, and does the same in every round; the step is
    ``optimizer.step()``, or a GradScaler's ``step(optimizer)``. Not if the optimizer has hooks or a step of the user's,
    or the function names gradients anywhere: a norm that is logged after the step is to be the mean's, too.
    """
    turn = _turn(_Identity(frame.f_code), frame.f_lasti)
    if turn is None or not _is_own(optimizer) or not are_light(optimizer):
        return False
    names = frame.f_locals
    try:
        look = functools.partial(_found, frame=frame, names=names)
        if look(turn.over) is not window or (turn.counted and look(("enumerate",)) is not enumerate):
            return False
        if turn.argument is None:
            return look(turn.receiver) is optimizer
        return look(turn.argument) is optimizer and _is_plain_scaler(look(turn.receiver))
    finally:
        # Until Python 3.13 these are copies, which the frame keeps: they would keep batches and losses alive that the
        # function has let go. With two references nobody but the frame and this function knows them.
        if sys.version_info < (3, 13) and frame.f_code.co_flags & CO_OPTIMIZED and sys.getrefcount(names) <= 4:
            names.clear()


def may_wait(frame: FrameType | None) -> bool:
    """Whether that may come out when the loop of this frame has ended, as far as the bytecode goes."""
    return frame is not None and _turn(_Identity(frame.f_code), frame.f_lasti) is not None


class _Turn(NamedTuple):
    """From a loop to a step: what the loop is over, whether that is counted by ``enumerate``, and what is called."""

    over: Path
    counted: bool
    receiver: Path
    argument: Path | None


class _Identity:
    """A code object as itself: to compare two of them by what is in them takes as long as to read them."""

    __slots__ = ("code",)

    def __init__(self, code: CodeType) -> None:
        self.code = code

    def __hash__(self) -> int:
        return id(self.code)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.code is other.code


@functools.lru_cache(maxsize=64)
def _turn(identity: _Identity, at: int) -> _Turn | None:
    """What is done when the for loop whose next item is asked for at this offset has ended, if that is a step."""
    code = identity.code
    if any(map(_is_a_gradients, _names(code))):
        return None
    instructions = [x for x in dis.get_instructions(code) if x.opname not in ("EXTENDED_ARG", "CACHE", "NOP")]
    loop = max((i for i, x in enumerate(instructions) if x.offset <= at), default=0)  # Python 3.12 may be in its cache
    if instructions[loop].opname != "FOR_ITER":
        return None
    before = [x for x in instructions[max(0, loop - 16) : loop] if x.opname not in ("PUSH_NULL", "PRECALL")]
    body = [x for x in instructions[loop:] if x.offset < instructions[loop].argval]
    if any(_is_a_choice(x) and y.opname != "WITH_EXCEPT_START" for y, x in pairwise(body)):
        return None  # it may be to clip in the last round
    after = instructions[loop + len(body) :][:24]
    over = _looped_over(before)
    call = _called(after)
    return _Turn(*over, *call) if over and call else None


def _looped_over(before: list[dis.Instruction]) -> tuple[Path, bool] | None:
    """What the instructions before a loop end with: its path, and whether it is counted."""
    if not before or before.pop().opname != "GET_ITER":
        return None
    counted = bool(before) and _is_call(before[-1]) and before.pop().argval == 1
    attributes: list[str] = []
    while before and before[-1].opname == "LOAD_ATTR":
        attributes.insert(0, before.pop().argval)
    if not before or not _is_name(before[-1]):
        return None
    path = (before.pop().argval, *attributes)
    if counted and not (before and _is_name(before[-1]) and before[-1].argval == "enumerate"):
        return None
    return path, counted


def _called(after: list[dis.Instruction]) -> tuple[Path, Path | None] | None:
    """The receiver and the argument of a call of ``step`` that these instructions begin with."""
    rest = iter([x for x in after if x.opname not in ("END_FOR", "POP_ITER", "PRECALL")])
    one = next(rest, None)
    while one is not None and one.opname == "POP_TOP":  # the iterator's
        one = next(rest, None)
    paths: list[list[str]] = []
    while one is not None:
        if _is_name(one):
            paths.append([one.argval])
        elif one.opname in ("LOAD_ATTR", "LOAD_METHOD") and paths:
            paths[-1].append(one.argval)
        else:
            break
        one = next(rest, None)
    if one is None or not _is_call(one) or not 1 <= len(paths) <= 2 or one.argval != len(paths) - 1:
        return None
    *receiver, method = paths[0]
    argument = tuple(paths[1]) if len(paths) == 2 else None
    return (tuple(receiver), argument) if method == "step" and receiver else None


def _is_name(instruction: dis.Instruction) -> bool:
    kinds = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_BORROW", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF")
    return instruction.opname in kinds and isinstance(instruction.argval, str)


def _is_call(instruction: dis.Instruction) -> bool:
    return instruction.opname in ("CALL", "CALL_FUNCTION", "CALL_METHOD")


def _is_a_choice(instruction: dis.Instruction) -> bool:
    return "JUMP" in instruction.opname and "IF" in instruction.opname


def _names(code: CodeType) -> Iterator[str]:
    """All names in a function, and in those that are defined in it."""
    yield from (*code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars)
    for one in code.co_consts:
        if isinstance(one, CodeType):
            yield from _names(one)
        elif isinstance(one, str) and one.isidentifier():  # getattr(p, "grad")
            yield one


def _is_a_gradients(name: str) -> bool:
    return "grad" in name.lower() and not any(word in name.lower() for word in HARMLESS)


def _found(path: Path, frame: FrameType, names: Any) -> Any:
    """What a path stands for in a frame; None where code of the user's would have a say in it."""
    first, *attributes = path
    found = names[first] if first in names else frame.f_globals.get(first, frame.f_builtins.get(first))
    for name in attributes:
        if not _looks_up_plainly(type(found)) or any(name in cls.__dict__ for cls in type(found).__mro__):
            return None
        found = getattr(found, "__dict__", {}).get(name)
    return found


def _looks_up_plainly(cls: type) -> bool:
    """Whether an attribute that an instance has is what it gives."""
    return cls.__getattribute__ in PLAIN


def _is_own(optimizer: Any) -> bool:
    """Whether its step is that of one of our classes, at most with the mark that a torch scheduler puts on it."""
    owner = next(cls for cls in type(optimizer).__mro__ if "step" in cls.__dict__)
    step, patched = owner.__dict__["step"], optimizer.__dict__.get("step")
    unpatched = patched is None or (
        _is_from(patched, "torch.")
        and hasattr(patched, "_wrapped_by_lr_sched")
        and getattr(patched, "__wrapped__", None) is step
    )
    ours = owner.__module__.startswith("zerograd.") and _is_from(step, "zerograd.")
    return ours and unpatched and _looks_up_plainly(type(optimizer))


def _is_plain_scaler(scaler: Any) -> bool:
    """Whether it is a GradScaler of torch's, and what its step does is torch's, too."""
    cls = type(scaler)
    return (
        isinstance(scaler, torch.amp.GradScaler)
        and cls.__module__.startswith("torch.")
        and _is_from(cls.step, "torch.")
        and "step" not in scaler.__dict__
    )


def _is_from(function: Any, package: str) -> bool:
    """Whether a function, or the one that stands round it, is written there; ``__module__`` is copied by wrappers."""
    function = getattr(function, "__func__", function)
    return isinstance(function, FunctionType) and str(function.__globals__.get("__name__")).startswith(package)
