"""Tracing: a rule called once with symbols gives the graph that every backend prints.

What decides the graph: the rule, the static hyper-parameters (bool, str, None, also inside tuples) and the truth of
each condition that an `if` tested. Numbers are symbols, so a new learning rate or step never makes a new graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from zerograd.algebra.graph import REDUCTIONS, Level, Node, ancestors, by_stage
from zerograd.algebra.notation import Rule, RuleFunction
from zerograd.algebra.states import Scalar, StateSpec, level_of
from zerograd.algebra.symbols import SymbolBuilder, host_value

VANISHING = frozenset({"weight_decay"})
"""Hyper-parameters that are left out when they are 0: what they multiply counts as 0, infinities included."""


def is_static(value: Any) -> bool:
    """Part of the graph's key, not a symbol."""
    return value is None or isinstance(value, (bool, str))


def static_part(values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The static hyper-parameters with their places, and the lengths of the tuples."""
    found: list[Any] = []
    for name, value in values.items():
        if isinstance(value, (tuple, list)):
            found.append((name, len(value)))
            found += [(name, i, v) for i, v in enumerate(value) if is_static(v)]
        elif is_static(value):
            found.append((name, value))
    return tuple(found)


class _Symbols:
    """Supplies a rule with symbols. ``late``: names of the scalar states that hang on a reduction.

    ``zeros``: hyper-parameters whose zero is worth a graph of its own; they become part of the guards.
    """

    def __init__(self, values: dict[str, Any], late: frozenset[str], zeros: frozenset[str]) -> None:
        self.builder = SymbolBuilder(values)
        self._late, self._zeros = late, zeros

    def state(self, name: str, spec: StateSpec) -> Node:
        return self.builder.leaf("state", name, level=level_of(spec), late=name in self._late)

    def t(self) -> Node:
        return self.builder.leaf("t", level=Level.TENSOR)

    def first(self, states: tuple[str, ...]) -> Node:
        return self.builder.leaf("first", states, level=Level.TENSOR, is_bool=True)

    def hyper(self, name: str) -> Any:
        value = self.builder.values[name]
        if isinstance(value, (tuple, list)):
            return tuple(self._number(name, i, v) for i, v in enumerate(value))
        return self._number(name, None, value)

    def _number(self, name: str, index: int | None, value: Any) -> Any:
        if is_static(value):
            return value
        symbol = self.builder.leaf("hyper", name, index, level=Level.GROUP)
        if name in self._zeros and not self.builder.decide(symbol):
            return self.builder.const(0.0)
        return symbol


class Graph:
    """What one step does to one element, as nodes.

    p: the new parameter. states: name -> its start, for the states that this graph reads or changes; ``new``: their
    new values. first_groups: the sets of states whose absence ``first`` asks about. shared: hyper-parameters that
    have to be equal in every group, because a state that is one in all is computed from them.
    """

    def __init__(self, rule: Rule, values: Mapping[str, Any], zeros: frozenset[str] = frozenset()) -> None:
        self.rule = rule
        plain = dict(values)
        late: frozenset[str] = frozenset()
        while True:  # a state computed from a reduction is late, and so is what hangs on it: at most one round a state
            symbols = _Symbols(plain, late, zeros)
            g, p = (symbols.builder.leaf(name, level=Level.ELEMENT) for name in ("g", "p"))
            result, raw = rule.apply(g, p, symbols)
            new = {name: symbols.builder.const(value) for name, value in raw.items()}
            found = frozenset(name for name, spec in rule.states.items() if isinstance(spec, Scalar) and new[name].late)
            if found <= late:
                break
            late |= found
        self.g, self.p_old = g, p
        self.p = symbols.builder.const(result if rule.moves else p - symbols.hyper("lr") * result)
        self._guards = list(symbols.builder.guards.values())
        self._static = static_part(plain)
        old = {name: symbols.state(name, spec) for name, spec in rule.states.items()}
        changed = [name for name in rule.states if new[name] is not old[name]]
        self.nodes = by_stage(ancestors([self.p, *(new[name] for name in changed)]))
        read = {n.args[0] for n in self.nodes if n.op == "state"}
        self.states = {name: spec for name, spec in rule.states.items() if name in changed or name in read}
        self.new = {name: new[name] for name in self.states}
        self.old = {name: old[name] for name in self.states}
        self._check_levels()

    def _check_levels(self) -> None:
        for name, spec in self.scalar_states.items():
            # One in all may read hyper-parameters, which are per group: they must then be equal in every group.
            if min((n.level for n in _sources(self.new[name]) if n.op != "hyper"), default=Level.ALL) < level_of(spec):
                self._owner(name).refuse(
                    f"state {name} is one number per {spec.per}, but its new value differs within it; "
                    "give the state a finer per=, or reduce the value with total, mean or norm"
                )

    def _owner(self, state: str) -> RuleFunction:
        return next(function for function in self.rule.functions if state in function.states)

    def fits(self, values: Mapping[str, Any]) -> bool:
        """Whether these hyper-parameters lead to this graph."""
        return static_part(values) == self._static and all(
            bool(host_value(node, dict(values))) == truth for node, truth in self._guards
        )

    @cached_property
    def scalar_states(self) -> dict[str, Scalar]:
        return {name: spec for name, spec in self.states.items() if isinstance(spec, Scalar)}

    @cached_property
    def late_states(self) -> tuple[str, ...]:
        """The scalar states that the host does not know: they hang on a reduction."""
        return tuple(name for name in self.scalar_states if self.new[name].late)

    @cached_property
    def tensor_states(self) -> tuple[str, ...]:
        return tuple(name for name, spec in self.states.items() if not isinstance(spec, Scalar))

    @cached_property
    def reductions(self) -> tuple[Node, ...]:
        return tuple(n for n in self.nodes if n.op in REDUCTIONS)

    @cached_property
    def over_all(self) -> tuple[str, ...]:
        """The kinds of the reductions that run over all groups, in their order."""
        return tuple(n.op for n in self.reductions if n.args[1] == "all")

    @cached_property
    def spans_tensors(self) -> bool:
        """Whether a reduction runs over more than one tensor."""
        return any(n.args[1] != "tensor" for n in self.reductions)

    @cached_property
    def reads_t(self) -> bool:
        return any(n.op == "t" for n in self.nodes)

    @cached_property
    def first_groups(self) -> tuple[tuple[str, ...], ...]:
        return tuple(n.args[0] for n in self.nodes if n.op == "first")

    @cached_property
    def shared(self) -> tuple[str, ...]:
        found: set[str] = set()
        for name, spec in self.scalar_states.items():
            if spec.per == "all":
                owner = self._owner(name)
                own = {*owner.hypers, *owner.supplied}
                found |= {n.args[0] for n in _sources(self.new[name]) if n.op == "hyper"}
                # Under a reduction too: the parts of an estimate are only alike if its own rule is. What a wrapper
                # does to g and p beforehand, such as weight decay, may differ.
                found |= {n.args[0] for n in ancestors([self.new[name]]) if n.op == "hyper" and n.args[0] in own}
                found |= {spec.value} if isinstance(spec.value, str) else set()
        return tuple(sorted(found))

    def __repr__(self) -> str:
        outputs = [f"p <- %{self.p.id}", *(f"{name} <- %{node.id}" for name, node in self.new.items())]
        return "\n".join([f"graph of {self.rule.name}", *map(repr, self.nodes), *outputs])


def _sources(node: Node) -> list[Node]:
    """What a value is computed from: leaves, and reductions as they come out."""
    seen: dict[int, Node] = {}
    todo = [node]
    while todo:
        node = todo.pop()
        if node.id not in seen:
            seen[node.id] = node
            todo += () if node.op in REDUCTIONS else node.nodes
    return [n for n in seen.values() if n.op in REDUCTIONS or not n.nodes]


class Tracer:
    """The graphs of one rule, made when they are first needed. ``traced`` counts them."""

    def __init__(self, rule: Rule, zeros: frozenset[str] = frozenset()) -> None:
        self.rule = rule
        self._zeros = zeros & rule.hypers.keys()
        self._graphs: list[Graph] = []

    def graph(self, values: Mapping[str, Any]) -> Graph:
        for graph in self._graphs:
            if graph.fits(values):
                return graph
        graph = Graph(self.rule, values)
        if self._zeros and not graph.spans_tensors:  # backends share such reductions: every graph has to have them all
            graph = Graph(self.rule, values, self._zeros)
        self._graphs.append(graph)
        return graph

    @property
    def traced(self) -> int:
        return len(self._graphs)
