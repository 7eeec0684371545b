"""Compiled buckets: the tensors that one kernel serves, from all groups, in as many rows of numbers as they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from zerograd.algebra.states import Scalar
from zerograd.engine.coding import streams_of
from zerograd.engine.programs import Program
from zerograd.formats.blocks import row_length, scales_key
from zerograd.formats.stochastic import step_key, stream_key
from zerograd.kernels.cpu import late
from zerograd.kernels.cpu.kernel import Kernel as Compiled
from zerograd.kernels.cpu.rows import Rows, can_be_printed
from zerograd.kernels.cpu.squares import squares_function
from zerograd.kernels.cpu.table import Entry, Table, host_values
from zerograd.kernels.reducing import Kernel, Partial


@dataclass
class Row:
    """Parameters of one group that have every host number in common. members: their places in the bucket.

    settled: what the prelude made of the hyper-parameters. seed: of the noise of stochastic rounding. scalars: the
    values of the scalar states, by name; those that hang on a reduction, one for each member. counter: in a plan, where
    the steps taken are counted, vector and place; t is one more.
    """

    group_index: int
    settled: tuple[Any, ...]
    t: float
    first: tuple[bool, ...]
    maximize: bool
    seed: int
    scalars: dict[str, Any]
    members: list[int] = field(default_factory=list)
    counter: tuple[memoryview, int] | None = None

    @property
    def counter_address(self) -> tuple[int, bool]:
        """Where the steps taken are counted in memory, and whether in float64; 0 if they are not."""
        if self.counter is None:
            return 0, False
        vector, place = np.asarray(self.counter[0]), self.counter[1]
        return int(vector.ctypes.data) + place * vector.itemsize, vector.itemsize == 8


class CompiledBucket:
    """One kernel and its table. ``build`` makes the table, when all parameters are in.

    copied: the gradients are copies, made for this step.
    """

    def __init__(self, program: Program, kernel: Compiled, *, copied: bool = False) -> None:
        self.program, self.kernel, self.copied = program, kernel, copied
        self.noisy = kernel.layout.noisy
        self.params: list[Tensor] = []
        self.ordinals: list[int] = []
        self.grads: list[Tensor] = []
        self.states: dict[str, list[Tensor]] = {name: [] for name in program.graph.tensor_states}
        self.states.update({scales_key(name, form): [] for name, form in kernel.layout.blocks})
        self.rows: list[Row] = []
        self.row_of: list[int] = []
        self.factors: Mapping[int, Any] = {}
        self.values: list[tuple[Any, ...]] = []
        self._late_values: dict[int, Any] = {}
        self.table: Table
        self.single_pass = len(kernel.functions) == 1 and not kernel.functions[0].one.sums

    @property
    def group_index(self) -> int:
        """The group, of a bucket whose graph reduces over a group or all: it holds one group only."""
        return self.rows[0].group_index

    def add(self, p: Tensor, ordinal: int, g: Tensor, row: Row) -> None:
        """Take a parameter in, the ordinal-th of the optimizer; its row may be new. Its states are put into ``states``
        by the caller."""
        number = self.row_of[row.members[0]] if row.members else len(self.rows)
        if not row.members:
            self.rows.append(row)
        row.members.append(len(self.params))
        self.row_of.append(number)
        self.params.append(p)
        self.ordinals.append(ordinal)
        self.grads.append(g)

    def build(self) -> None:
        """Make the table of what was added."""
        columns = [self.params, self.grads, *self.states.values()]
        numbers = streams_of(self.program.graph.rule)
        streams = [0, 0, *(numbers.get(name, 0) for name in self.states)]
        entries = [
            Entry(
                [tensors[i].data_ptr() for tensors in columns],
                p.numel() * (2 if p.is_complex() else 1),
                self.row_of[i],
                [stream_key(self.ordinals[i], stream) for stream in streams] if self.noisy else (),
                row_length(p.shape) if self.kernel.layout.blocks else 0,
            )
            for i, p in enumerate(self.params)
        ]
        self.table = Table(self.kernel, entries, len(self.rows), len(self.program.prelude.nodes))

    # -------------------------------------------------------------------------------------------------- one step

    def squares(self) -> dict[int, float]:
        """The sum of the squares of all gradients, by group: one read pass, summed in float64."""
        self.table.launch(self.measuring)
        each = self.table.summed(1)[:, 0]
        members: dict[int, list[int]] = {}
        for row in self.rows:
            members.setdefault(row.group_index, []).extend(row.members)
        return {index: float(each[found].sum()) for index, found in members.items()}

    @property
    def measuring(self) -> int:
        """The address of the function that sums up the squares of all gradients."""
        return squares_function(self.kernel.layout)

    def prepare(self) -> None:
        """Write the rows: the numbers of this step."""
        row_values = self.program.prelude.row
        self.values = []
        for number, row in enumerate(self.rows):
            counter = row.counter
            t = row.t if counter is None else counter[0][counter[1]] + 1.0
            values = row_values(row.settled, t, row.first, row.scalars)
            scale = float(self.factors.get(row.group_index, 1.0)) if self.factors else 1.0
            noise = step_key(row.seed, int(t)) if self.noisy else 0
            self.table.set_row(number, -scale if row.maximize else scale, noise, values)
            self.values.append(values)

    def native_rows(self, scale: int) -> Rows | None:
        """What writes the rows of the steps to come in machine code, where that can be done. Settle it first.

        scale: the address of what the gradients of a step are multiplied by.
        """
        if self.noisy or not can_be_printed(self.program.prelude):
            return None
        places = [(*row.counter_address, row.maximize) for row in self.rows]
        return Rows(self.program.prelude, self.table, places, scale)

    def launch(self) -> None:
        """Run a kernel of one pass, in one call."""
        self.prepare()
        self.table.launch(self.kernel.functions[0].address)

    def run(self) -> Kernel:
        """Run all passes; asks for reductions that span more than this bucket on the way."""
        self.prepare()
        graph, table = self.program.graph, self.table
        values = self._late_values = {}
        if self.kernel.late or graph.late_states:
            values.update(host_values(self.program.prelude.nodes, self.values, self.row_of))
            for name in graph.late_states:
                values[graph.old[name].id] = self._spread(name, graph.scalar_states[name])
        for number, function in enumerate(self.kernel.functions):
            for place, node in enumerate(self.kernel.late):
                if node.stage <= number:
                    table.set_late(place, late.evaluated(node, values))
            table.launch(function.address)
            sums = function.one.sums
            amounts = table.summed(len(sums)) if sums else None
            for k, node in enumerate(sums):
                assert amounts is not None
                per = node.args[1]
                if per == "tensor":
                    values[node.id] = late.finished(node.op, amounts[:, k], table.counts)
                else:
                    part = Partial(node.op, per, float(amounts[:, k].sum()), int(table.counts.sum()))
                    values[node.id] = yield part

    def _spread(self, name: str, spec: Scalar) -> Any:
        """The old value of a state that hangs on a reduction: one number, or one for each parameter."""
        if spec.per != "tensor":
            return self.rows[0].scalars[name]
        spread = np.zeros(len(self.params))
        for row in self.rows:
            spread[row.members] = row.scalars[name]
        return spread

    # ------------------------------------------------------------------------------------------------- afterwards

    def results(self) -> list[tuple[str, int, list[Tensor], Any]]:
        """The scalar states' new values: name, group, parameters, and one number or one for each parameter."""
        graph = self.program.graph
        found: list[tuple[str, int, list[Tensor], Any]] = []
        for row, values in zip(self.rows, self.values, strict=True):
            members = [self.params[i] for i in row.members]
            for name, place in self.program.prelude.new.items():
                found.append((name, row.group_index, members, values[place]))
            for name in graph.late_states:
                value = np.broadcast_to(late.evaluated(graph.new[name], self._late_values), len(self.params))
                each = [float(value[i]) for i in row.members]
                one = graph.scalar_states[name].per != "tensor"  # the same for every parameter
                found.append((name, row.group_index, members, each[0] if one else each))
        return found
