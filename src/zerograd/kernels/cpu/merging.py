"""Which product is merged with a sum into one operation, where that could be either of two.

The compiler may merge a product and the sum that it goes into; then the product is not rounded. Of two such products it
takes either, by an order of its own that hangs on other lines, so that two loops over the same elements would round
otherwise. So there it is written down.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from zerograd.algebra.graph import Level, Node
from zerograd.algebra.roles import vanishes
from zerograd.kernels.cpu.passes import Pass
from zerograd.kernels.cpu.words import operation


class Merging:
    """The sums of a pass that need it. read: the buffer of each value that is read and not computed, by its id."""

    def __init__(self, one: Pass, read: Mapping[int, str | None]) -> None:
        self.read = read
        computed = [n for n in one.elements() if read[n.id] is None]
        self.uses = Counter(n.id for n in (*(a for c in computed for a in c.nodes), *one.roots))

    def is_needed(self, node: Node) -> bool:
        """Whether a node is the sum or the difference of two products that the compiler could merge."""
        return node.op in ("add", "sub") and all(map(self._may_merge, node.nodes))

    def _may_merge(self, node: Node) -> bool:
        is_product = node.op == "mul" and node.level == Level.ELEMENT and self.read[node.id] is None
        return is_product and self.uses[node.id] == 1 and not vanishes(node.nodes[1])


def merged(name: str, op: str, products: Sequence[str], factors: Sequence[Sequence[str]], kind: str) -> list[str]:
    """``name`` becomes the sum or the difference of two products, of which one is rounded.

    Of a sum it is the first: PyTorch too multiplies a state by its weight in place, and then adds. Of a difference it
    is the second.
    """
    if op == "add":
        return operation(name, "fma", [*factors[1], products[0]], kind, kind)
    rest = f"{name}.less"
    return operation(rest, "neg", [products[1]], kind, kind) + operation(name, "fma", [*factors[0], rest], kind, kind)
