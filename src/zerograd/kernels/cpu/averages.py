"""What averages of squares allow, whose formats have no sign: fewer operations for each element."""

from __future__ import annotations

from collections.abc import Mapping

from zerograd.algebra.graph import Level, Node
from zerograd.algebra.roles import vanishes
from zerograd.formats.blocks import BlockFormat
from zerograd.kernels.cpu.words import suffix

Read = Mapping[int, str | None]
"""The buffer that a node is loaded from, by the node's id."""


def weighed(node: Node, read: Read, blocks: Mapping[str, BlockFormat]) -> tuple[str, Node, Node] | None:
    """Buffer, state and weight of a node that is a product of a state whose format has no sign and of a number."""
    if node.op != "mul" or vanishes(node.nodes[1]):
        return None
    for state, weight in (node.nodes, node.nodes[::-1]):
        buffer = read.get(state.id) or ""
        if buffer in blocks and not blocks[buffer].signed and weight.level > Level.ELEMENT:
            return buffer, state, weight
    return None


def product(name: str, kind: str, state: str, scale: str, weight: str, calls: set[str]) -> list[str]:
    """``name`` becomes a state times a weight, from what the state is before its scale is taken away.

    The scale times the weight is the same for a group, so this is one operation where two would be needed. A scale is
    a power of two: but for the smallest numbers there are, the result has the one rounding that the product has.

    kind: the type of all three. calls: to which the function of LLVM that is called is added.
    """
    calls.add(f"declare {kind} @llvm.fma.{suffix(kind)}({kind}, {kind}, {kind})")
    return [
        f"{name}.shift = fmul {kind} {scale}, {weight}",
        f"{name}.down = fneg {kind} {name}.shift",
        f"{name} = call {kind} @llvm.fma.{suffix(kind)}({kind} {state}.lifted, {kind} {weight}, {kind} {name}.down)",
    ]


def square_weight(node: Node) -> Node | None:
    """The number that a square is multiplied by in a sum: where it is above zero, a sum of zero has no sign."""
    if node.op != "add":
        return None
    for term in node.nodes:
        if term.op != "mul":
            continue
        for square, weight in (term.nodes, term.nodes[::-1]):
            if weight.level > Level.ELEMENT and square.op == "mul" and square.nodes[0] is square.nodes[-1]:
                return weight
    return None
