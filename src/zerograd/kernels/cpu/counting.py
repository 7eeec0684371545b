"""Small things that a step does besides its kernels, in machine code: see that no step count was moved, count on, and
do one thing after the other in a single call from Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.kernel import function_at

FAILED_CALL = 40
"""The bit of an answer from which on stands which of several calls gave it."""

Call = tuple[int, int]
"""Addresses of a function and of its argument."""


class Counts:
    """Vectors of step counts, float32 or float64, and what they have to be. check, advance: calls that return 0, or
    something else where a count was changed by someone else."""

    def __init__(self, vectors: Sequence[np.ndarray[Any, Any]]) -> None:
        self._vectors = list(vectors)
        self.expected = [vector.copy() for vector in vectors]
        rows = [
            (vector.ctypes.data, expected.ctypes.data, vector.size, vector.itemsize == 8)
            for vector, expected in zip(self._vectors, self.expected, strict=True)
        ]
        self._words = np.array([len(rows), *(word for row in rows for word in row)], np.int64)
        argument = int(self._words.ctypes.data)
        self.check: Call = (function_at(_CHECK), argument)
        self.advance: Call = (function_at(_ADVANCE), argument)

    def renew(self) -> None:
        """Take the counts as they are now."""
        for vector, expected in zip(self._vectors, self.expected, strict=True):
            expected[:] = vector


class InOrder:
    """Several calls as one. call: runs them in order up to the first that does not return 0; its answer, and from bit
    40 on which one it was."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._words = np.array([len(calls), *(word for call in calls for word in call)], np.int64)
        self.call: Call = (function_at(_SEQUENCE), int(self._words.ctypes.data))
        self._function = pool.short(self.call[0])

    def run(self) -> int:
        return self._function(self.call[1])


LOOP = """\
define i64 @zerograd_kernel(i64 %descriptor) {{
entry:
  %words = inttoptr i64 %descriptor to ptr
  %n = load i64, ptr %words, align 8
  %rows = getelementptr i64, ptr %words, i64 1
  br label %next
next:
  %k = phi i64 [ 0, %entry ], [ %k.next, %done ]
  %open = icmp slt i64 %k, %n
  br i1 %open, label %work, label %good
work:
  %place = mul i64 %k, {width}
  %row = getelementptr i64, ptr %rows, i64 %place
  %first = load i64, ptr %row, align 8
  %second.at = getelementptr i64, ptr %row, i64 1
  %second = load i64, ptr %second.at, align 8
{work}
done:
  %k.next = add i64 %k, 1
  br label %next
good:
  ret i64 0
}}
"""

_SIZE = """\
  %size.at = getelementptr i64, ptr %row, i64 2
  %size = load i64, ptr %size.at, align 8
  %wide.at = getelementptr i64, ptr %row, i64 3
  %wide = load i64, ptr %wide.at, align 8
  %a = inttoptr i64 %first to ptr
  %b = inttoptr i64 %second to ptr
"""

_CHECK = "declare i32 @memcmp(ptr, ptr, i64)\n" + LOOP.format(
    width=4,
    work=_SIZE
    + """\
  %shift = add i64 %wide, 2
  %bytes = shl i64 %size, %shift
  %order = call i32 @memcmp(ptr %a, ptr %b, i64 %bytes)
  %same = icmp eq i32 %order, 0
  br i1 %same, label %done, label %bad
bad:
  ret i64 1""",
)


def _add(kind: str, one: str) -> str:
    return f"""\
{kind}s:
  %{kind}.any = icmp sgt i64 %size, 0
  br i1 %{kind}.any, label %{kind}, label %done
{kind}:
  %{kind}.i = phi i64 [ 0, %{kind}s ], [ %{kind}.next, %{kind} ]
  %{kind}.at = getelementptr {kind}, ptr %a, i64 %{kind}.i
  %{kind}.old = load {kind}, ptr %{kind}.at, align {4 if kind == "float" else 8}
  %{kind}.new = fadd {kind} %{kind}.old, {one}
  store {kind} %{kind}.new, ptr %{kind}.at, align {4 if kind == "float" else 8}
  %{kind}.to = getelementptr {kind}, ptr %b, i64 %{kind}.i
  store {kind} %{kind}.new, ptr %{kind}.to, align {4 if kind == "float" else 8}
  %{kind}.next = add i64 %{kind}.i, 1
  %{kind}.more = icmp slt i64 %{kind}.next, %size
  br i1 %{kind}.more, label %{kind}, label %done
"""


_ADVANCE = LOOP.format(
    width=4,
    work=_SIZE
    + "  %is.wide = icmp ne i64 %wide, 0\n  br i1 %is.wide, label %doubles, label %floats\n"
    + _add("float", "1.0")
    + _add("double", "1.0").rstrip(),
)

_SEQUENCE = LOOP.format(
    width=2,
    work="""\
  %function = inttoptr i64 %first to ptr
  %answer = call i64 %function(i64 %second)
  %fine = icmp eq i64 %answer, 0
  br i1 %fine, label %done, label %bad
bad:
  %number = shl i64 %k, <bit>
  %both = or i64 %number, %answer
  ret i64 %both""".replace("<bit>", str(FAILED_CALL)),
)
