"""The sum of the squares of all gradients: one read pass, for the norm and to see whether all are finite."""

from __future__ import annotations

import functools

from zerograd.algebra.graph import Builder, Level
from zerograd.formats.layout import Layout
from zerograd.kernels.cpu.kernel import function_at
from zerograd.kernels.cpu.passes import Pass
from zerograd.kernels.cpu.printer import PassPrinter
from zerograd.kernels.cpu.words import renamed

STRANDS = 4
"""In how many places a chunk is read at once. A core that reads in one place waits for memory: four take half the time
(50M numbers on two cores: 7.9 against 14.2 ms)."""

LONG = 4096
"""Elements of a chunk from which on that is worth it."""


@functools.cache
def squares_function(layout: Layout) -> int:
    """The address of a function that runs on a table of this layout and leaves one sum for each chunk.

    Gradients are taken as they are: neither scaled nor negated. nan and infinities make the sum nan or infinite.
    """
    builder = Builder()
    g = builder.leaf("g", level=Level.ELEMENT)
    one = Pass({}, {}, (builder.reduction("norm", g, "tensor"),))
    printer = _InStrands("the norm of the gradients", {g.id: "g"}, layout, one, (), (), scaled=False)
    return function_at(printer.source(), printer.needs)


class _InStrands(PassPrinter):
    """Prints a pass of one sum that reads a long chunk in several places at once, and what is left over in one."""

    def _loop(self, body: list[str]) -> list[str]:
        each, own = range(STRANDS), ("%i", "%sum0")
        strands = [
            line for j in each for line in (f"  %i.{j} = add nuw nsw i64 %i, %begin.{j}", *renamed(body, j, own))
        ]
        return [
            f"  %long = icmp sge i64 %length, {LONG}",
            f"  %quarter = udiv i64 %length, {STRANDS}",
            "  %strand = select i1 %long, i64 %quarter, i64 0",
            *(f"  %begin.{j} = mul i64 %strand, {j}" for j in each),
            f"  %whole = mul i64 %strand, {STRANDS}",
            "  br i1 %long, label %strands, label %rest",
            "strands:",
            "  %i = phi i64 [ 0, %work ], [ %i.next, %strands ]",
            *(f"  %sum0.{j} = phi double [ 0.0, %work ], [ %sum0.next.{j}, %strands ]" for j in each),
            *strands,
            "  %i.next = add nuw nsw i64 %i, 1",
            "  %more = icmp slt i64 %i.next, %strand",
            "  br i1 %more, label %strands, label %joined",
            "joined:",
            "  %joined.0 = fadd double %sum0.next.0, 0.0",
            *(f"  %joined.{j} = fadd double %joined.{j - 1}, %sum0.next.{j}" for j in each[1:]),
            "  br label %rest",
            "rest:",
            f"  %sum.so.far = phi double [ 0.0, %work ], [ %joined.{STRANDS - 1}, %joined ]",
            "  %left.over = icmp slt i64 %whole, %length",
            "  br i1 %left.over, label %one, label %finish",
            "one:",
            "  %i.rest = phi i64 [ %whole, %rest ], [ %i.rest.next, %one ]",
            "  %sum0.rest = phi double [ %sum.so.far, %rest ], [ %sum0.next.rest, %one ]",
            *renamed(body, "rest", own),
            "  %i.rest.next = add nuw nsw i64 %i.rest, 1",
            "  %more.rest = icmp slt i64 %i.rest.next, %length",
            "  br i1 %more.rest, label %one, label %finish",
            "finish:",
            "  %total = phi double [ %sum.so.far, %rest ], [ %sum0.next.rest, %one ]",
            *self._finish(["%total"]),
        ]
