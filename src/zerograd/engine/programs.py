"""Printed graphs, kept as long as the rule: made once for each combination of flags, never for a new number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zerograd.algebra.notation import Rule
from zerograd.algebra.tracing import Graph, Tracer
from zerograd.kernels.eager.foreach import Foreach
from zerograd.kernels.prelude import Prelude

# Without weight decay the eager backend leaves its operations out: a graph of its own is cheap here, a pass is not.
ZEROS = frozenset({"weight_decay"})


@dataclass(frozen=True)
class Program:
    """A graph and what the eager backend runs for it."""

    graph: Graph
    prelude: Prelude
    foreach: Foreach


class Programs:
    """The programs of one rule. ``compiled`` counts them."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._tracer = Tracer(rule, ZEROS)
        self._printed: dict[int, Program] = {}

    def find(self, values: Mapping[str, Any]) -> Program:
        """The program for these hyper-parameters."""
        graph = self._tracer.graph(values)
        program = self._printed.get(id(graph))
        if program is None:
            prelude = Prelude(graph)
            program = Program(graph, prelude, Foreach(graph, prelude.nodes))
            self._printed[id(graph)] = program
        return program

    @property
    def compiled(self) -> int:
        return len(self._printed)
