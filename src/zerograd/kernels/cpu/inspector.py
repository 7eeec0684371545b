"""Are the tensors still those that a table was made of? Asked before every step, for every tensor.

People swap ``p.data``, replace gradients, move state to another device; a kernel that kept its addresses would write
into memory that is not theirs any more. Asking from Python costs a microsecond a tensor, more than the step itself, so
the question is asked in machine code: through the C functions that torch keeps stable for compiled models
(``aoti_torch_*``), and one C++ accessor for the gradient. Where those are missing, or answer wrong in a trial, the same
questions are asked in Python.
"""

from __future__ import annotations

import bisect
import ctypes
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from zerograd.formats.memory import span
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.inspection_code import ABSENT, FAR, FIXED, GRADIENT, NONE, QUESTIONS, RECORD, source
from zerograd.kernels.cpu.kernel import function_at
from zerograd.kernels.cpu.machine import CodeError

_SEARCHED = 208
"""Bytes of a tensor's implementation that are looked through; in PyTorch 2.13 the keys are at 168."""

_GRADIENT_OF = "_ZNK3c1010TensorImpl4gradEv"  # const at::Tensor& c10::TensorImpl::grad() const


class Inspector(Protocol):
    """Knows the tensors of a plan. call: its function and argument, if it works in machine code: 0 if all is well."""

    call: tuple[int, int] | None

    def passes(self) -> bool:
        """Whether all are as they were; the gradients' addresses are in their places then."""


class Inspected:
    """What is to be asked, collected: both kinds of inspector are made of it. elsewhere: bytes that others write."""

    def __init__(self) -> None:
        self.fixed: list[Tensor] = []
        self.grads: list[tuple[Tensor, Tensor, int]] = []
        self.absent: list[Tensor] = []
        self.elsewhere: list[tuple[int, int]] = []

    def add(self, p: Tensor, g: Tensor, states: Sequence[Tensor], place: int) -> None:
        """A parameter with its gradient and states. place: the address at which its gradient's address belongs."""
        self.fixed += [p, *states]
        self.grads.append((p, g, place))

    def spans(self) -> list[tuple[int, int]]:
        """The bytes that are written, in order and apart: what touches or overlaps is one span."""
        own = [span(t) for t in self.fixed if t.numel()]
        joined: list[tuple[int, int]] = []
        for start, end in sorted([*own, *self.elsewhere]):
            if joined and start <= joined[-1][1]:
                joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
            else:
                joined.append((start, end))
        return joined

    def inspector(self) -> Inspector:
        """The fastest that works here."""
        return _Native(self) if native() is None else _Python(self)


class _Native:
    def __init__(self, asked: Inspected) -> None:
        spans = np.array(asked.spans(), np.int64).reshape(-1, 2)
        self._starts, self._ends = (np.ascontiguousarray(spans[:, i]) for i in range(2))
        records = [(t, FIXED, t, 0) for t in asked.fixed]
        records += [(p, GRADIENT, g, place) for p, g, place in asked.grads]
        records += [(p, ABSENT, p, 0) for p in asked.absent]
        shapes: list[int] = []
        rows: list[list[int]] = []
        for tensor, kind, like, place in records:
            size = like.numel() * like.element_size()
            rows.append(
                [
                    tensor._cdata,
                    kind,
                    like.data_ptr(),
                    _dtype_code(like.dtype),
                    like.dim(),
                    len(shapes),
                    place,
                    size,
                    0,
                    _keys(like),
                ]
            )
            shapes += [*like.shape, *like.stride()]
        rows += [[0, NONE, *[0] * (RECORD - 2)]] * FAR  # what is fetched ahead of the last ones
        self._shapes = np.array(shapes, np.int64)
        self._records = np.array(rows, np.int64)
        self._records[:, 5] = self._records[:, 5] * 8 + self._shapes.ctypes.data  # from an index to an address
        arrays = [len(records), self._records.ctypes.data, len(spans), self._starts.ctypes.data, self._ends.ctypes.data]
        self._descriptor = np.array([*arrays, *_functions(), keys_offset()], np.int64)
        self.call: tuple[int, int] | None = (function_at(source()), int(self._descriptor.ctypes.data))

    def passes(self) -> bool:
        assert self.call is not None
        return pool.run_short(*self.call) == 0


class _Python:
    """The same questions, one by one."""

    call: tuple[int, int] | None = None

    def __init__(self, asked: Inspected) -> None:
        self._fixed = [(t, t.data_ptr(), _looks(t)) for t in asked.fixed]
        self._grads = [(p, _looks(g), ctypes.c_int64.from_address(place)) for p, g, place in asked.grads]
        self._absent = asked.absent
        self._spans = asked.spans()
        self._starts = [start for start, _ in self._spans]

    def passes(self) -> bool:
        if not all(t.data_ptr() == address and _looks(t) == looks for t, address, looks in self._fixed):
            return False
        if any(p.grad is not None for p in self._absent):
            return False
        for p, looks, place in self._grads:
            g = p.grad
            if g is None or g.layout != torch.strided or _looks(g) != looks:
                return False
            place.value = g.data_ptr()
            if place.value == 0 and g.numel():
                return False
            if self._overlaps(place.value, place.value + g.numel() * g.element_size()):
                return False
        return True

    def _overlaps(self, start: int, end: int) -> bool:
        """Whether bytes lie in what is written: the last span that starts before their end would reach them."""
        before = bisect.bisect_left(self._starts, end)
        return start < end and before > 0 and self._spans[before - 1][1] > start


def _looks(t: Tensor) -> tuple[Any, ...]:
    """Type, dispatch keys (device, negative view, ...), dtype, sizes, and strides but for dimensions of one element."""
    strides = tuple(stride for stride, size in zip(t.stride(), t.shape, strict=True) if size != 1)
    return type(t), _keys(t), t.dtype, t.shape, strides


# ------------------------------------------------------------------------------------------------ torch's functions


@functools.cache
def native() -> str | None:
    """Why the questions can't be asked in machine code here; None if they can."""
    try:
        _functions()
        return _trial()
    except (OSError, AttributeError, CodeError) as error:
        return f"{type(error).__name__}: {error}"


@functools.cache
def libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    place = Path(torch.__file__).parent / "lib"
    ending = ".dylib" if (place / "libc10.dylib").exists() else ".so"
    return ctypes.CDLL(str(place / f"libc10{ending}")), ctypes.CDLL(str(place / f"libtorch_cpu{ending}"))


def _address(function: Any) -> int:
    found = ctypes.cast(function, ctypes.c_void_p).value
    assert found is not None
    return found


@functools.cache
def _functions() -> tuple[int, ...]:
    core, cpu = libraries()
    return (
        _address(getattr(core, _GRADIENT_OF)), *(_address(getattr(cpu, f"aoti_torch_{name}")) for name in QUESTIONS)
    )  # fmt: skip


def _keys(tensor: Tensor) -> int:
    """The dispatch keys: device, layout, negative and conjugate views, wrappers; all that says what memory means."""
    return int(torch._C._dispatch_keys(tensor).raw_repr())


@functools.cache
def keys_offset() -> int:
    """Where in a tensor's memory its dispatch keys are; CodeError if that can't be found out."""
    with torch.inference_mode(False), torch.device("cpu"):
        plain, byte = torch.zeros(2), torch.zeros(2, dtype=torch.int8)
        tensors = [plain, torch.zeros(1, 2, requires_grad=True), torch._neg_view(plain), byte]
    for offset in range(0, _SEARCHED, 8):
        if all(ctypes.c_int64.from_address(t._cdata + offset).value == _keys(t) for t in tensors):
            return offset
    raise CodeError("the dispatch keys of a tensor are not where they are expected")


@functools.cache
def _dtype_code(dtype: torch.dtype) -> int:
    _, cpu = libraries()
    return int(getattr(cpu, f"aoti_torch_dtype_{str(dtype).removeprefix('torch.')}")())


def _trial() -> str | None:
    """Asks about tensors whose answers are known: torch's memory layout is not something to trust unseen."""
    with torch.inference_mode(False), torch.device("cpu"):  # whatever the first step is taken under
        return _tried()


def _tried() -> str | None:
    p, state, other = torch.zeros(3, 2), torch.ones(3, 2), torch.zeros(3, 2)
    g, place = torch.zeros(3, 2), np.zeros(1, np.int64)
    p.grad = g
    asked = Inspected()
    asked.add(p, g, [state], place.ctypes.data)
    asked.absent.append(other)
    inspector = _Native(asked)
    answers = [inspector.passes() and int(place[0]) == g.data_ptr()]
    changes: list[tuple[Callable[[], object], bool]] = [
        (lambda: setattr(p, "grad", None), False),
        (lambda: setattr(p, "grad", torch.zeros(3, 2)), True),
        (lambda: setattr(p, "grad", torch.zeros(2, 3).t()), False),
        (lambda: setattr(p, "grad", torch._neg_view(g)), False),
        (lambda: setattr(p, "grad", g), True),
        (lambda: setattr(other, "grad", g), False),
        (lambda: setattr(other, "grad", None), True),
        (lambda: setattr(p, "grad", state), False),  # a gradient may not lie in what is written
        (lambda: setattr(p, "grad", g), True),
        (lambda: setattr(state, "data", torch.ones(3, 2)), False),
    ]
    for change, expected in changes:
        change()
        answers.append(inspector.passes() == expected)
    return None if all(answers) else f"torch {torch.__version__} answered differently from what was expected"
