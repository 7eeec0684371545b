"""Printed graphs, kept as long as the rule: made once for each combination of flags, never for a new number."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from operator import is_
from typing import TYPE_CHECKING, Any

from zerograd.algebra.graph import Level
from zerograd.algebra.matrices import MatrixGraph, MatrixRule
from zerograd.algebra.notation import Rule
from zerograd.algebra.tracing import VANISHING, Graph, Tracer
from zerograd.formats.layout import Layout
from zerograd.kernels.eager.foreach import Foreach
from zerograd.kernels.prelude import Prelude

if TYPE_CHECKING:
    from zerograd.kernels.cpu.kernel import Kernel

# Without weight decay the eager backend leaves its operations out: a graph of its own is cheap here, a pass is not.
# A compiled kernel does them for nothing, and one kernel for every weight decay is one less to compile.
ZEROS = VANISHING


def is_constant(value: Any) -> bool:
    """A value that can't change without becoming another object."""
    if isinstance(value, tuple):
        return all(map(is_constant, value))
    return value is None or isinstance(value, (bool, int, float, str))


class Program:
    """A graph and what the backends run for it, each made when it is first needed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.prelude = Prelude(graph)
        self._kernels: dict[Layout, Kernel | None] = {}
        self.reasons: dict[Layout, str] = {}

    @cached_property
    def foreach(self) -> Foreach:
        return Foreach(self.graph, self.prelude.nodes)

    @cached_property
    def slope(self) -> int | None:
        """Which of the prelude's numbers the gradient is multiplied by, where that is all that is added to p."""
        graph = self.graph
        added = graph.p.nodes if graph.p.op == "add" and not graph.states else ()
        others = [node for node in added if node is not graph.p_old]
        if len(added) == 2 and len(others) == 1 and others[0].op == "mul" and others[0].nodes[0] is graph.g:
            return next((i for i, node in enumerate(self.prelude.nodes) if node is others[0].nodes[1]), None)
        return None

    @cached_property
    def operations(self) -> int:
        """About how many operations on lists a step is."""
        return sum(node.level == Level.ELEMENT and bool(node.nodes) for node in self.graph.nodes)

    def kernel(self, layout: Layout) -> Kernel | None:
        """The compiled kernel for a layout; None where this machine can't make one, for one of ``reasons``."""
        if layout not in self._kernels:
            from zerograd.kernels.cpu.kernel import Kernel
            from zerograd.kernels.cpu.machine import CodeError

            try:
                self._kernels[layout] = Kernel(self.graph, layout, self.prelude.nodes)
            except CodeError as error:
                self._kernels[layout] = None
                self.reasons[layout] = str(error)
        return self._kernels[layout]


class MatrixProgram(Program):
    """The program of a rule on whole matrices: the rule itself."""

    def __init__(self, rule: MatrixRule) -> None:
        self.rule, self.graph, self.reasons = rule, MatrixGraph(rule), {}
        self.keywords = (*rule.hypers, *rule.own.supplied)

    def kernel(self, layout: Layout) -> None:
        """There is none: kernels know elements."""


class Programs:
    """The programs of one rule. ``compiled`` counts them."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._tracers = {False: Tracer(rule, ZEROS), True: Tracer(rule)}
        self._printed: dict[int, Program] = {}
        self._last: dict[bool, tuple[tuple[Any, ...], Program]] = {}

    def find(self, values: Mapping[str, Any], *, whole: bool = False) -> Program:
        """The program for these hyper-parameters. whole: one for every weight decay, zero included."""
        asked = tuple(values.values())
        last = self._last.get(whole)
        if last is not None and len(asked) == len(last[0]) and all(map(is_, asked, last[0])):
            return last[1]  # the very objects of the last time, none of which can change
        graph = self._tracers[whole].graph(values)
        program = self._printed.get(id(graph))
        if program is None:
            program = self._printed[id(graph)] = Program(graph)
        if all(map(is_constant, asked)):
            self._last[whole] = asked, program
        return program

    @property
    def compiled(self) -> int:
        return len(self._printed)


class MatrixPrograms(Programs):
    """The one program of a rule on whole matrices, whatever its hyper-parameters are."""

    def __init__(self, rule: MatrixRule) -> None:
        self.rule = rule
        self._only = MatrixProgram(rule)
        self._printed = {0: self._only}

    def find(self, values: Mapping[str, Any], *, whole: bool = False) -> Program:  # noqa: ARG002
        return self._only


def programs_of(rule: Rule) -> Programs:
    """The programs of a rule of either kind."""
    return MatrixPrograms(rule) if isinstance(rule, MatrixRule) else Programs(rule)
