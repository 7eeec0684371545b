"""What one step costs, counted on the graph and its passes: nothing is run for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zerograd.algebra.graph import Node
from zerograd.algebra.tracing import Graph
from zerograd.formats.layout import Layout
from zerograd.kernels.cpu.passes import Pass, passes_of
from zerograd.kernels.cpu.printer import leaves_of


@dataclass(frozen=True)
class PassCost:
    """What one pass reads and writes. reads, writes: buffers, as a layout calls them. sums: kinds of reductions."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    sums: tuple[str, ...]
    bytes_read: int
    bytes_written: int


@dataclass(frozen=True)
class StepCost:
    """What one step costs. state_bytes: for each parameter. scalars: states that are one number for many.

    host: numbers that Python computes once a step. late: numbers that NumPy computes between two passes.
    """

    states: tuple[str, ...]
    state_bytes: int
    scalars: tuple[str, ...]
    passes: tuple[PassCost, ...]
    host: int
    late: int

    @property
    def bytes_read(self) -> int:
        return sum(one.bytes_read for one in self.passes)

    @property
    def bytes_written(self) -> int:
        return sum(one.bytes_written for one in self.passes)


def step_cost(graph: Graph, layout: Layout, host: Sequence[Node]) -> StepCost:
    """The cost of a graph in a layout. host: the numbers of its prelude."""
    parts = passes_of(graph, layout)
    late = {node.id for one in parts for node in one.scalars() if node.late}
    return StepCost(
        states=graph.tensor_states,
        state_bytes=sum(form.bytes for _, form in layout.states),
        scalars=tuple(graph.scalar_states),
        passes=tuple(_pass_cost(one, graph, layout) for one in parts),
        host=len(host),
        late=len(late),
    )


def _pass_cost(one: Pass, graph: Graph, layout: Layout) -> PassCost:
    leaves = leaves_of(graph)
    read = {one.known.get(node.id) or leaves.get(node.id) for node in one.elements()}
    sizes = {name: form.bytes for name, form in layout.buffers}
    reads = tuple(name for name in sizes if name in read)
    writes = tuple(name for name in sizes if name in one.stores)
    return PassCost(
        reads, writes, tuple(node.op for node in one.sums), sum(map(sizes.__getitem__, reads)),
        sum(map(sizes.__getitem__, writes)),
    )  # fmt: skip
