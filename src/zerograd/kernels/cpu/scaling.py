"""Between the pass that measures the gradients and the one that uses them: from sums of squares to a norm, and from
the norm to what every gradient is multiplied by. In machine code, so that a short step with clipping is one call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zerograd.kernels.cpu.counting import LOOP, Call
from zerograd.kernels.cpu.kernel import function_at
from zerograd.kernels.cpu.table import Table


class Scaling:
    """One limit for the norm of all gradients in some tables.

    tables: each with the sign of every row, -1 where the rule climbs. add: the calls that sum up what the passes left
    in the tables; apply: the call that writes the rows. norm: after them, of all gradients. scale: the address of what
    the gradients are multiplied by before anything else, the norm included.
    """

    def __init__(self, tables: Sequence[tuple[Table, Sequence[float]]], limit: float, eps: float, scale: int) -> None:
        self._numbers = np.array([0.0, 0.0, limit, eps, 0.0])  # sum of squares, norm, limit, eps, address of the scale
        self._numbers[4:].view(np.int64)[0] = scale
        base = int(self._numbers.ctypes.data)
        sums = [(table.sums_address, table.chunk_count, table.descriptor) for table, _ in tables]
        self._sums = np.array([1, base, len(sums), *(word for row in sums for word in row)], np.int64)
        rows = [(address, sign) for table, signs in tables for address, sign in zip(table.scales, signs, strict=True)]
        self._rows = np.array(
            [len(rows), *(word for address, sign in rows for word in (address, base if sign > 0 else -base))], np.int64
        )
        self.add: Call = (function_at(_ADD), int(self._sums.ctypes.data))
        self.apply: Call = (function_at(_APPLY), int(self._rows.ctypes.data))

    @property
    def norm(self) -> float:
        return float(self._numbers[1])


_ADD = LOOP.format(
    width=2,
    work="""\
  %numbers = inttoptr i64 %first to ptr
  %tables.at = getelementptr i64, ptr %row, i64 2
  br label %table
table:
  %t = phi i64 [ 0, %work ], [ %t.next, %added ]
  %total = phi double [ 0.0, %work ], [ %sum, %added ]
  %t.place = mul i64 %t, 3
  %entry.at = getelementptr i64, ptr %tables.at, i64 %t.place
  %sums = load ptr, ptr %entry.at, align 8
  %count.at = getelementptr i64, ptr %entry.at, i64 1
  %count = load i64, ptr %count.at, align 8
  %counter.at = getelementptr i64, ptr %entry.at, i64 2
  %counter = load ptr, ptr %counter.at, align 8
  store i64 0, ptr %counter, align 8
  br label %chunk
chunk:
  %c = phi i64 [ 0, %table ], [ %c.next, %one ]
  %sum = phi double [ %total, %table ], [ %more, %one ]
  %open.c = icmp slt i64 %c, %count
  br i1 %open.c, label %one, label %added
one:
  %value.at = getelementptr double, ptr %sums, i64 %c
  %value = load double, ptr %value.at, align 8
  %more = fadd double %sum, %value
  %c.next = add i64 %c, 1
  br label %chunk
added:
  %t.next = add i64 %t, 1
  %open.t = icmp slt i64 %t.next, %second
  br i1 %open.t, label %table, label %norm
norm:
  %given.at = getelementptr i64, ptr %numbers, i64 4
  %given = load ptr, ptr %given.at, align 8
  %scale = load double, ptr %given, align 8
  %once = fmul double %sum, %scale
  %scaled = fmul double %once, %scale
  %root = call double @llvm.sqrt.f64(double %scaled)
  store double %scaled, ptr %numbers, align 8
  %norm.at = getelementptr double, ptr %numbers, i64 1
  store double %root, ptr %norm.at, align 8
  br label %done""",
)
_ADD += "declare double @llvm.sqrt.f64(double)\n"

_APPLY = LOOP.format(
    width=2,
    work="""\
  %scale.at = inttoptr i64 %first to ptr
  %climbs = icmp slt i64 %second, 0
  %opposite = sub i64 0, %second
  %where = select i1 %climbs, i64 %opposite, i64 %second
  %numbers = inttoptr i64 %where to ptr
  %norm.at = getelementptr double, ptr %numbers, i64 1
  %norm = load double, ptr %norm.at, align 8
  %limit.at = getelementptr double, ptr %numbers, i64 2
  %limit = load double, ptr %limit.at, align 8
  %eps.at = getelementptr double, ptr %numbers, i64 3
  %eps = load double, ptr %eps.at, align 8
  %norm.eps = fadd double %norm, %eps
  %ratio = fdiv double %limit, %norm.eps
  %above = fcmp ogt double %ratio, 1.0
  %clipped = select i1 %above, double 1.0, double %ratio
  %given.at = getelementptr i64, ptr %numbers, i64 4
  %given = load ptr, ptr %given.at, align 8
  %upfront = load double, ptr %given, align 8
  %factor = fmul double %clipped, %upfront
  %negative = fneg double %factor
  %scale = select i1 %climbs, double %negative, double %factor
  store double %scale, ptr %scale.at, align 8
  br label %done""",
)
