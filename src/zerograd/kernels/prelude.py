"""The prelude of a step: all that is one number for a whole tensor, evaluated on the host in float64.

Printed once for a graph as a Python function, so that a step costs a few microseconds and a new learning rate,
momentum or step number costs nothing more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zerograd.algebra.arithmetic import HOST
from zerograd.algebra.graph import Node, ancestors
from zerograd.algebra.tracing import Graph

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip


def host_inputs(graph: Graph) -> list[Node]:
    """The host numbers that the tensors' part of the graph reads: the entries of a row of the scalar table."""
    wanted: dict[int, Node] = {}
    for node in graph.nodes:
        if not node.on_host:
            wanted.update((a.id, a) for a in node.nodes if a.on_host and a.op != "const")
    for node in graph.new.values():  # a state may be set to a number
        if node.on_host and node.op != "const":
            wanted[node.id] = node
    if graph.p.on_host and graph.p.op != "const":
        wanted[graph.p.id] = graph.p
    return [wanted[i] for i in sorted(wanted)]


_QUICK = {"div": "{} / {}", "pow": "_quick_pow({}, {})", "sqrt": "_quick_sqrt({})", "neg": "-{}"}
"""Operations that raise where IEEE 754 has an answer: a row is computed with them, and with care if one has raised."""


class Prelude:
    """Calls as ``prelude(hypers, t, first, scalars)`` and gives the values of ``nodes``.

    hypers: the group's hyper-parameters. t: the step number of these tensors, 1 at their first. first: for each of
    ``graph.first_groups``, whether one of its states did not exist before this step. scalars: the values of the
    scalar states that the host knows. The scalar states' new values are in ``new``: name -> place in the result.

    What hangs on the hyper-parameters alone is ``settled`` apart, so that a step whose hyper-parameters are those of
    the last one computes the rest only: ``row(settled(hypers), t, first, scalars)``. settled_nodes: what ``settled``
    gives. moving: what ``row`` computes, each after what it needs.
    """

    def __init__(self, graph: Graph) -> None:
        inputs = host_inputs(graph)
        states = {name: graph.new[name] for name in graph.scalar_states if not graph.new[name].late}
        nodes = {node.id: node for node in [*inputs, *states.values()]}
        self.nodes = tuple(nodes.values())
        places = {node.id: i for i, node in enumerate(self.nodes)}
        self.new = {name: places[node.id] for name, node in states.items()}
        self.settled_nodes, self.moving = _divided(self.nodes)
        self.source = _printed(self.nodes, self.settled_nodes, self.moving, graph.first_groups)
        scope: dict[str, Any] = {
            **{f"_{op}": function for op, function in HOST.items()},
            "_quick_pow": math.pow,
            "_quick_sqrt": math.sqrt,
            "inf": math.inf,
            "nan": math.nan,
        }
        exec(compile(self.source, f"<prelude of {graph.rule.name}>", "exec"), scope)
        self.settled: Callable[[Mapping[str, Any]], tuple[Any, ...]] = scope["settled"]
        self.row: Callable[..., tuple[Any, ...]] = scope["row"]

    def __call__(
        self, hypers: Mapping[str, Any], t: float, first: Sequence[bool], scalars: Mapping[str, float]
    ) -> tuple[Any, ...]:
        return self.row(self.settled(hypers), t, first, scalars)


def _divided(nodes: Sequence[Node]) -> tuple[tuple[Node, ...], tuple[Node, ...]]:
    """What hangs on hyper-parameters alone and is wanted beyond that; and what moves with the steps or the states."""
    moving: dict[int, Node] = {}
    settled: list[Node] = []
    for node in ancestors(nodes):
        if node.op in ("t", "state", "first") or any(a.id in moving for a in node.nodes):
            moving[node.id] = node
        elif node.op != "const":
            settled.append(node)
    wanted = {a.id for node in moving.values() for a in node.nodes} | {node.id for node in nodes}
    return tuple(n for n in settled if n.id in wanted), tuple(n for n in moving.values() if n.op != "t")


def _printed(
    nodes: Sequence[Node], settled: Sequence[Node], late: Sequence[Node], first_groups: tuple[tuple[str, ...], ...]
) -> str:
    early = [node for node in ancestors(settled) if node.op != "const"]
    handed = [_name(node) for node in settled]
    taken = [f"    {_tuple(handed)} = settled"] if handed else []
    result = _tuple([_name(node) for node in nodes])

    def lines(of: Sequence[Node], quick: bool, indent: str = "    ") -> list[str]:
        return [f"{indent}v{node.id} = {_expression(node, first_groups, quick)}" for node in of]

    return "\n".join(
        [
            "def settled(hyper):",
            *lines(early, quick=False),
            f"    return {_tuple(handed)}",
            "def careful(settled, t, first, scalar):",
            *taken,
            *lines(late, quick=False),
            f"    return {result}",
            "def row(settled, t, first, scalar):",
            "    try:",
            *(f"    {line}" for line in taken),
            *lines(late, quick=True, indent="        "),
            f"        return {result}",
            "    except (ValueError, ArithmeticError):",
            "        return careful(settled, t, first, scalar)",
        ]
    )


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"


def _name(node: Node) -> str:
    if node.op == "const":
        return repr(node.args[0])
    return "t" if node.op == "t" else f"v{node.id}"


def _expression(node: Node, first_groups: tuple[tuple[str, ...], ...], quick: bool) -> str:
    if node.op == "hyper":
        name, index = node.args
        return f"float(hyper[{name!r}])" if index is None else f"float(hyper[{name!r}][{index}])"
    if node.op == "state":
        return f"scalar[{node.args[0]!r}]"
    if node.op == "first":
        return f"first[{first_groups.index(node.args[0])}]"
    names = [_name(a) for a in node.nodes]
    if node.op in _INFIX:
        return f"{names[0]} {_INFIX[node.op]} {names[1]}"
    if node.op == "where":  # both arms have been computed; nothing here can raise
        return f"{names[1]} if {names[0]} else {names[2]}"
    if quick and node.op in _QUICK:
        return _QUICK[node.op].format(*names)
    return f"_{node.op}({', '.join(names)})"
