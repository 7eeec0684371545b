"""What a kernel computes in which pass over memory.

A reduction ends a pass: what hangs on its result waits for the next one. A new state that no later pass needs in its
old form is stored as soon as it is known, and read back instead of being computed again, if its format keeps every
bit; all others are stored in the last pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from zerograd.algebra.graph import REDUCTIONS, Level, Node
from zerograd.algebra.tracing import Graph
from zerograd.formats.layout import Layout
from zerograd.formats.plain import FP32, FP64

PARAMETER = "p"
"""The name of the parameter among the outputs; states are named "state NAME", like the buffers of a layout."""


@dataclass(frozen=True)
class Pass:
    """One pass. known: values that earlier passes stored, by the node's id: the buffer to read them from.

    stores: buffer -> the value to put there. sums: the reductions whose operands this pass adds up.
    """

    known: Mapping[int, str]
    stores: Mapping[str, Node]
    sums: tuple[Node, ...]

    @property
    def roots(self) -> list[Node]:
        """The element values that have to be there at the end."""
        return [*self.stores.values(), *(node.nodes[0] for node in self.sums)]

    def elements(self) -> list[Node]:
        """The values per element to compute, each after those that it needs; leaves and known values included."""
        return [n for n in _needed(self.roots, self.known, inside=Level.ELEMENT) if n.level == Level.ELEMENT]

    def scalars(self) -> list[Node]:
        """The numbers per tensor that those are computed from, constants left out."""
        computed = [n for n in self.elements() if n.id not in self.known]
        found = {a.id: a for n in computed for a in n.nodes if a.level > Level.ELEMENT and a.op != "const"}
        found.update({n.id: n for n in self.stores.values() if n.level > Level.ELEMENT and n.op != "const"})
        return [found[i] for i in sorted(found)]


def passes_of(graph: Graph, layout: Layout) -> tuple[Pass, ...]:
    """The passes of a graph, at least one."""
    outputs = {PARAMETER: graph.p} if graph.p is not graph.p_old else {}
    outputs.update({f"state {n}": graph.new[n] for n in graph.tensor_states if graph.new[n] is not graph.old[n]})
    old = {PARAMETER: graph.p_old, **{f"state {n}": graph.old[n] for n in graph.tensor_states}}
    sums = _wanted_sums(graph, outputs.values())
    last = max([0, *(node.stage for node in outputs.values()), *(node.nodes[0].stage for node in sums)])
    exact = FP64 if layout.double else FP32
    formats = dict(layout.buffers)
    at = {name: node.stage if formats[name] == exact else last for name, node in outputs.items()}
    while True:
        made = [_pass(number, outputs, at, sums) for number in range(last + 1)]
        late = _overwritten_too_soon(made, old, at)
        if not late:
            return tuple(made)
        at.update(dict.fromkeys(late, last))


def _wanted_sums(graph: Graph, outputs: Iterable[Node]) -> list[Node]:
    """The reductions that anything depends on, a late scalar state included."""
    roots = [*outputs, *(graph.new[name] for name in graph.scalar_states)]
    return [node for node in _needed(roots, {}) if node.op in REDUCTIONS]


def _pass(number: int, outputs: Mapping[str, Node], at: Mapping[str, int], sums: list[Node]) -> Pass:
    known = {
        node.id: name
        for name, node in outputs.items()
        if at[name] < number and node.level == Level.ELEMENT and node.nodes  # a leaf is read where it is
    }
    stores = {name: node for name, node in outputs.items() if at[name] == number}
    return Pass(known, stores, tuple(node for node in sums if node.nodes[0].stage == number))


def _overwritten_too_soon(made: list[Pass], old: Mapping[str, Node], at: Mapping[str, int]) -> list[str]:
    """The outputs whose old value a pass after their store still reads."""
    found = []
    for name, number in at.items():
        reads = {n.id for later in made[number + 1 :] for n in later.elements() if n.id not in later.known}
        if old[name].id in reads:
            found.append(name)
    return found


def _needed(roots: Iterable[Node], known: Mapping[int, str], inside: Level = Level.ALL) -> list[Node]:
    """The nodes that the roots are computed from, in order; not what lies behind a known one or above a level."""
    seen: dict[int, Node] = {}
    todo = list(roots)
    while todo:
        node = todo.pop()
        if node.id not in seen:
            seen[node.id] = node
            todo += () if node.id in known or node.level > inside else node.nodes
    return [seen[i] for i in sorted(seen)]
