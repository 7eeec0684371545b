"""A kernel: one graph in one layout, as functions in this process. Made once for each; no number ever makes another."""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zerograd.algebra.graph import Node
from zerograd.algebra.tracing import Graph
from zerograd.formats.layout import Layout
from zerograd.formats.plain import FP16
from zerograd.kernels.cpu import cache, machine
from zerograd.kernels.cpu.blocks import BlockPrinter, touches_blocks
from zerograd.kernels.cpu.passes import Pass, passes_of
from zerograd.kernels.cpu.printer import ENTRY, PassPrinter, leaves_of
from zerograd.kernels.cpu.tiles import TilePrinter, serves

_LOCK = threading.Lock()


@dataclass(frozen=True)
class Function:
    """One pass, ready to run. address: of a function of the address of a descriptor. source: what it was made of."""

    one: Pass
    address: int
    source: str


class Kernel:
    """The passes of a graph in a layout. late: the numbers that reductions give, in the order of their table.

    Raises CodeError where this machine can't make or run it.
    """

    def __init__(self, graph: Graph, layout: Layout, host: Sequence[Node]) -> None:
        if not machine.converts_half() and FP16 in (form for _, form in layout.buffers):
            raise machine.CodeError("this processor has no instructions for float16")
        self.graph, self.layout = graph, layout
        parts = passes_of(graph, layout)
        late = {node.id: node for one in parts for node in one.scalars() if node.late}
        self.late = tuple(late[i] for i in sorted(late))
        functions = []
        for one in parts:
            leaves = leaves_of(graph)
            printer = _printer(one, leaves, layout)(graph.rule.name, leaves, layout, one, host, self.late)
            source = printer.source()
            functions.append(Function(one, function_at(source, printer.needs), source))
        self.functions = tuple(functions)


def _printer(one: Pass, leaves: Mapping[int, str], layout: Layout) -> type[PassPrinter]:
    if not touches_blocks(one, leaves, layout):
        return PassPrinter
    return TilePrinter if serves(one, leaves, layout) else BlockPrinter


def function_at(source: str, needs: tuple[str, ...] = ()) -> int:
    """The address of the function that a module defines: loaded before, kept on disk, or compiled now."""
    with _LOCK:  # two threads at their first step compile once
        return _function_at(source, needs)


@functools.cache
def _function_at(source: str, needs: tuple[str, ...]) -> int:
    name = machine.digest(source)
    kept = cache.read(name)
    if kept is not None:
        try:
            return machine.loaded(kept, ENTRY, needs)
        except machine.CodeError:
            pass  # made anew, and written over
    code = machine.compiled(source)
    address = machine.loaded(code, ENTRY, needs)
    cache.write(name, code)
    return address
