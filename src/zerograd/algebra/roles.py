"""What a state is to its rule, read off the graph: whether it can fall below zero, and whether it follows the weights.

A storage format needs to know no more: numbers that are never negative need no sign, and copies or averages of weights
need more digits than averages of gradients.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from zerograd.algebra.graph import REDUCTIONS, Node, ancestors
from zerograd.algebra.matrices import MatrixGraph
from zerograd.algebra.states import Part, Scalar, Start, StateSpec
from zerograd.algebra.tracing import VANISHING, Graph


class Role(Enum):
    """SIGNED: an average of gradients or anything like it. SQUARES: never below zero. WEIGHTS: starts as the parameter
    or is computed from it. EXACT: goes into a difference under a root, which noise could make negative. OTHER: starts
    as something else than zero, or is not one number an element."""

    SIGNED = "signed"
    SQUARES = "never below zero"
    WEIGHTS = "follows the weights"
    EXACT = "goes into a difference under a root"
    OTHER = "does not start at zero"


def roles_of(graph: Graph) -> dict[str, Role]:
    """The role of each tensor state. Hyper-parameters, and what the host computes from them, count as not negative,
    differences such as ``1 - beta`` included; a format has to say so where that was wrong."""
    found = {}
    for name in graph.tensor_states:
        spec = graph.states[name]
        if isinstance(spec, Start) and spec.name == "p":
            found[name] = Role.WEIGHTS
        elif not _starts_at_zero(graph, spec):
            found[name] = Role.OTHER
        elif isinstance(graph, MatrixGraph):
            found[name] = Role.SIGNED  # what the function does is not known
        elif _follows(graph.new[name], graph.p_old):
            found[name] = Role.WEIGHTS
        else:
            found[name] = Role.SQUARES
    if isinstance(graph, MatrixGraph):
        return found
    squares = {name for name, role in found.items() if role is Role.SQUARES}
    while True:  # one that may be negative may make others so
        old = {graph.old[name].id for name in squares}
        negative = {name for name in squares if not _not_negative(graph.new[name], old)}
        if not negative:
            break
        squares -= negative
        found.update(dict.fromkeys(negative, Role.SIGNED))
    roots = [n.nodes[0] for n in graph.nodes if n.op in ("sqrt", "log") and not n.on_host]
    doubtful = {n.id for n in ancestors([x for x in roots if not _not_negative(x, old)])}
    found.update({name: Role.EXACT for name in found if {graph.old[name].id, graph.new[name].id} & doubtful})
    return found


def _starts_at_zero(graph: Graph, spec: StateSpec) -> bool:
    """Whether a state starts at zero, or as a hyper-parameter that is zero by default."""
    if isinstance(spec, Start):
        return bool(graph.rule.hypers.get(spec.name, 1.0) == 0)
    return not isinstance(spec, (Scalar, Part)) and spec == 0


def vanishes(factor: Node) -> bool:
    """Whether a number is 0 because a hyper-parameter that is left out at 0 is a factor of it."""
    if factor.op == "hyper":
        return factor.args[0] in VANISHING
    inside = {"mul": factor.nodes, "neg": factor.nodes, "div": factor.nodes[:1]}.get(factor.op, ())
    return factor.on_host and any(map(vanishes, inside))


def _follows(node: Node, p: Node) -> bool:
    """Whether a value is computed from p, other than by a decay: then it is about as large as p."""
    todo, seen = [node], set[int]()
    while todo:
        node = todo.pop()
        if node is p:
            return True
        if node.id in seen or node.op in REDUCTIONS or (node.op == "mul" and any(map(vanishes, node.nodes))):
            continue
        seen.add(node.id)
        todo += node.nodes
    return False


def _not_negative(node: Node, old: Collection[int]) -> bool:
    """Whether a value is not negative, if the states ``old`` are not."""
    found: dict[int, bool] = {}

    def known(x: Node) -> bool:
        if x.id not in found:
            found[x.id] = decided(x)
        return found[x.id]

    def decided(x: Node) -> bool:
        op, inside = x.op, x.nodes
        if op == "const":
            return bool(x.args[0] >= 0)
        if x.id in old or x.on_host:
            return op != "neg"
        if op in ("abs", "sqrt", "exp", "norm"):
            return True
        if op == "mul" and inside[0] is inside[1]:
            return True
        if op == "pow":
            return (inside[1].op == "const" and inside[1].args[0] % 2 == 0) or known(inside[0])
        if op in ("add", "mul", "div", "minimum", "lerp", "mean", "total"):
            return all(map(known, inside)) or (op == "mul" and _square(inside))
        if op == "maximum":
            return any(map(known, inside))
        return op == "where" and all(map(known, inside[1:]))

    return known(node)


def _square(factors: tuple[Node, ...]) -> bool:
    """Whether a product is a square times a number of the host: ``(c * g) * g``."""
    for outer, inner in (factors, factors[::-1]):
        if inner.op == "mul" and any(
            a is outer and b.on_host and b.op != "neg" for a, b in (inner.nodes, inner.nodes[::-1])
        ):
            return True
    return False
