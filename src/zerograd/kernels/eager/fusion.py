"""Which calls a graph becomes: products that melt into an addition, and operations that may overwrite an operand."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from zerograd.algebra.graph import REDUCTIONS, Level, Node
from zerograd.algebra.tracing import Graph


@dataclass
class Instruction:
    """One call. ``op`` is the node's, or add_scaled (a + b*s), addcmul (a + b*c*s), addcdiv (a + b/c*s).

    in_place: the first operand's tensors may take the result.
    """

    node: Node
    op: str
    operands: tuple[Node, ...]
    in_place: bool = False


def instructions(graph: Graph) -> list[Instruction]:
    """The calls of the tensors' part of a graph, in an order that respects what they need."""
    nodes = [n for n in graph.nodes if n.nodes and not n.on_host]
    outputs = [graph.p, *graph.new.values()]
    uses = Counter(a.id for n in nodes for a in n.nodes)
    uses.update(n.id for n in outputs)
    fused: set[int] = set()
    found: list[Instruction] = []
    for node in reversed(nodes):
        if node.id not in fused:
            found.append(_instruction(node, uses, fused))
    found.reverse()
    _mark_in_place(found, graph, outputs)
    return found


def _instruction(node: Node, uses: Counter[int], fused: set[int]) -> Instruction:
    if node.op != "add" or node.level > Level.ELEMENT:
        operands = node.nodes
        if node.op in ("mul", "maximum", "minimum") and operands[0].level > Level.ELEMENT:
            operands = operands[::-1]  # lists come first
        return Instruction(node, node.op, operands)
    for base, other in (node.nodes, node.nodes[::-1]):
        if base.level == Level.ELEMENT and _melts(other, uses):
            product, factor = other.nodes
            fused.add(other.id)
            if product.op in ("mul", "div") and uses[product.id] == 1 and _all_elements(product):
                fused.add(product.id)
                return Instruction(node, f"addc{product.op}", (base, *product.nodes, factor))
            return Instruction(node, "add_scaled", (base, product, factor))
    a, b = node.nodes
    for base, other in ((a, b), (b, a)):
        if _all_elements(node) and other.op in ("mul", "div") and uses[other.id] == 1 and _all_elements(other):
            fused.add(other.id)
            one = node.builder.const(1.0)
            return Instruction(node, f"addc{other.op}", (base, *other.nodes, one))
    if a.level > Level.ELEMENT:
        a, b = b, a
    return Instruction(node, "add", (a, b))


def _melts(x: Node, uses: Counter[int]) -> bool:
    """A list times a host number, needed nowhere else."""
    return (
        x.level == Level.ELEMENT
        and x.op == "mul"
        and uses[x.id] == 1
        and x.nodes[0].level == Level.ELEMENT
        and x.nodes[1].on_host
    )


def _all_elements(x: Node) -> bool:
    return all(a.level == Level.ELEMENT and not a.is_bool for a in x.nodes)


def _mark_in_place(found: list[Instruction], graph: Graph, outputs: list[Node]) -> None:
    by_node = {line.node.id: line for line in found}
    last = {n.id: len(found) for n in outputs}  # outputs live to the end
    for at in reversed(range(len(found))):
        for x in found[at].operands:
            last.setdefault(x.id, at)
    # A choice by the host is no new list but one of its arms: it keeps both alive as long as it lives itself.
    for at in reversed(range(len(found))):
        if _is_choice(found[at]):
            for arm in found[at].operands[1:]:
                last[arm.id] = max(last[arm.id], last.get(found[at].node.id, at))
    homes = _homes(by_node, graph)
    for at, line in enumerate(found):
        base = line.operands[0]
        if line.node.level > Level.ELEMENT or line.op == "where" or line.node.op in REDUCTIONS:
            continue
        if base.level > Level.ELEMENT or last[base.id] != at or base.is_bool or line.node.is_bool:
            continue
        maker = by_node.get(base.id)
        if maker is None:  # a leaf: p or a state, whose tensors may only take what is stored in them at the end
            line.in_place = base is not graph.g and homes.get(line.node.id) == base.id
        elif maker.in_place:
            line.in_place = _root(base, by_node) in (None, homes.get(line.node.id))
        else:
            line.in_place = not _is_choice(maker)


def _is_choice(line: Instruction) -> bool:
    return line.op == "where" and line.node.level == Level.ELEMENT and line.operands[0].on_host


def _root(node: Node, by_node: dict[int, Instruction]) -> int | None:
    """The leaf whose tensors hold this value, or None for a temporary."""
    while (line := by_node.get(node.id)) is not None:
        if not line.in_place:
            return None
        node = line.operands[0]
    return node.id


def _homes(by_node: dict[int, Instruction], graph: Graph) -> dict[int, int]:
    """For each value on the way from a leaf to what is stored in that leaf: the leaf."""
    homes: dict[int, int] = {}
    pairs = [(graph.p, graph.p_old), *((graph.new[n], graph.old[n]) for n in graph.tensor_states)]
    for new, old in pairs:
        way: list[int] = []
        node = new
        while (line := by_node.get(node.id)) is not None and node.level == Level.ELEMENT:
            way.append(node.id)
            node = line.operands[0]
        if node is old:
            homes.update(dict.fromkeys(way, old.id))
    return homes
