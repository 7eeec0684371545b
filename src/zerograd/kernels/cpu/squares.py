"""The sum of the squares of all gradients: one read pass, for the norm and to see whether all are finite."""

from __future__ import annotations

import functools

from zerograd.algebra.graph import Builder, Level
from zerograd.formats.layout import Layout
from zerograd.kernels.cpu.kernel import function_at
from zerograd.kernels.cpu.passes import Pass
from zerograd.kernels.cpu.printer import PassPrinter


@functools.cache
def squares_function(layout: Layout) -> int:
    """The address of a function that runs on a table of this layout and leaves one sum for each chunk.

    Gradients are taken as they are: neither scaled nor negated. nan and infinities make the sum nan or infinite.
    """
    builder = Builder()
    g = builder.leaf("g", level=Level.ELEMENT)
    one = Pass({}, {}, (builder.reduction("norm", g, "tensor"),))
    printer = PassPrinter("the norm of the gradients", {g.id: "g"}, layout, one, (), (), scaled=False)
    return function_at(printer.source(), printer.needs)
