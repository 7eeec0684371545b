"""Plans: a step that has been gathered once and can be taken again, as long as nothing else has changed.

Nearly always the next step has the same parameters, gradients of the same kind and the same states; then only the
numbers have moved. A plan keeps the tables, and before each step makes sure that they still hold: every parameter,
state and group is the very object that it was, every tensor lies where it lay, every hyper-parameter that has changed
leads to the same graph. If anything differs, the step is gathered anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.engine.compiled import CompiledBucket, Row
from zerograd.engine.gathering import Gathering, check_alike, keep_scalars, shared_scalar
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.counting import Counts, InOrder
from zerograd.kernels.cpu.inspector import Inspected, Inspector
from zerograd.kernels.cpu.table import PARALLEL, SHORT

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

_END = object()
_IMPLEMENTATION = Tensor._cdata.__get__  # type: ignore[attr-defined]
_bump = torch.autograd.graph.increment_version


class Plan:
    """The compiled buckets of a step that has been taken.

    covered: the ids of their parameters. rest: the parameters that go the eager way, gathered each time.
    """

    def __init__(self, optimizer: RuleOptimizer, gathered: Gathering) -> None:
        self.optimizer = optimizer
        self.buckets = gathered.compiled
        self.rest = [p for bucket in gathered.eager for p in bucket.params]
        self.params = [p for bucket in self.buckets for p in bucket.params]
        self.covered = frozenset(map(id, self.params))
        self._groups = [_Group(optimizer, index, self.buckets) for index in range(len(optimizer.param_groups))]
        self._states = [_States(optimizer, bucket) for bucket in self.buckets]
        self._scalars = [_Scalars(optimizer, bucket) for bucket in self.buckets if bucket.program.graph.scalar_states]
        self._everyone = [p for group in optimizer.param_groups for p in group["params"]]
        self._identity = [*self._objects(), _END]
        self._implementations = list(map(_IMPLEMENTATION, self._everyone))
        self._counts = Counts([run for states in self._states for run in states.counts])
        self._inspector = self._inspected()
        asked = self._inspector.call
        questions = [self._counts.check] if asked is None else [asked, self._counts.check]
        self._questions = InOrder(questions).call
        total = sum(bucket.table.total for bucket in self.buckets)
        self._locked = total <= SHORT and (total < PARALLEL or pool.threads() == 1)
        self._whole: tuple[int, int] | None = None
        if asked is not None and not self._scalars and not self.rest and total < PARALLEL:
            if all(bucket.single_pass for bucket in self.buckets):
                kernels = [(bucket.kernel.functions[0].address, bucket.table.descriptor) for bucket in self.buckets]
                self._whole = InOrder([*questions, *kernels, self._counts.advance]).call
        self._alive: list[Tensor | None] = []

    def _inspected(self) -> Inspector:
        asked = Inspected()
        for bucket in self.buckets:
            table = bucket.table.tensors
            for i, p in enumerate(bucket.params):
                place = table.ctypes.data + table.strides[0] * i + 3 * table.itemsize  # after row, p and p's noise
                asked.add(p, bucket.grads[i], [tensors[i] for tensors in bucket.states.values()], place)
            bucket.grads = []  # the next step's gradients are others; these must be free to go
        elsewhere = self.covered | frozenset(map(id, self.rest))
        asked.absent = [p for p in self._everyone if id(p) not in elsewhere]
        return asked.inspector()

    # ---------------------------------------------------------------------------------------------- the next step

    def take(self) -> bool:
        """Take a whole short step in one call; False, with nothing changed, if that can't be done."""
        if self._whole is None or not self._same():
            return False
        for bucket in self.buckets:
            bucket.prepare()
            bucket.table.rewind()
        if pool.run_short(*self._whole) != 0:
            return False
        for bucket in self.buckets:
            for row in bucket.rows:
                row.t += 1.0
        _bump(self.params)
        return True

    def ready(self) -> bool:
        """Whether this plan is right for the step to come, and everything is in its place for it."""
        if not self._same() or not all([scalars.unchanged() for scalars in self._scalars]):
            return False
        if pool.run_short(*self._questions) != 0 or (self._inspector.call is None and not self._inspector.passes()):
            return False
        if not self._locked:  # kernels run without Python's lock: nobody may free a gradient meanwhile
            self._alive = [p.grad for p in self.params]
        return True

    def keep(self) -> None:
        """After all kernels: count the step, put new scalar states where they belong."""
        self._alive = []
        pool.run_short(*self._counts.advance)
        for bucket in self.buckets:
            for row in bucket.rows:
                row.t += 1.0
        for scalars in self._scalars:
            scalars.keep()
        _bump(self.params)

    # ------------------------------------------------------------------------------------------------- what is alike

    def _same(self) -> bool:
        """Whether groups, parameters, states and hyper-parameters are what they were, as Python sees them."""
        try:
            same = all(map(is_, chain(self._objects(), (_END,)), self._identity))
        except (TypeError, KeyError, AttributeError):  # a state is gone, or no dictionary any more
            return False
        if not same or list(map(_IMPLEMENTATION, self._everyone)) != self._implementations:
            return False
        for group in self._groups:
            if not group.unchanged() and not group.settle(self.optimizer):
                return False
        return True

    def _objects(self) -> Iterator[Any]:
        """Every object that has to be the very same: groups, parameters, states."""
        groups, states = self.optimizer.param_groups, self.optimizer.state
        lists = [group["params"] for group in groups]
        held = [map(one.read, one.states) for one in self._states]
        return chain(groups, lists, *lists, states, states.values(), *(chain.from_iterable(each) for each in held))


class _States:
    """The state dictionaries of one bucket. read: the tensors of one of them. counts: where its steps are counted."""

    def __init__(self, optimizer: RuleOptimizer, bucket: CompiledBucket) -> None:
        graph = bucket.program.graph
        counting = graph.reads_t or optimizer.keeps_step
        per_tensor = [name for name, spec in graph.scalar_states.items() if spec.per == "tensor"]
        names = [*(["step"] if counting else []), *per_tensor, *graph.tensor_states]
        self.states = [optimizer.state[p] for p in bucket.params] if names else []
        self.read = itemgetter(*names, *names[:1]) if names else dict.values  # of one name twice, to get a tuple
        self.counts = [run for run, _ in optimizer._column("step").runs(bucket.params)] if counting else []
        for row in bucket.rows:  # the next step
            row.first = (False,) * len(row.first)
            row.t += 1.0


class _Group:
    """The hyper-parameters of a group as they were at the last step."""

    def __init__(self, optimizer: RuleOptimizer, index: int, buckets: list[CompiledBucket]) -> None:
        self.group = group = optimizer.param_groups[index]
        self.rows: list[tuple[CompiledBucket, Row]] = [
            (bucket, row) for bucket in buckets for row in bucket.rows if row.group_index == index
        ]
        known = optimizer._group_rule(group)
        names = [name for name in group if name != "params" and name not in known.states]
        self._read = itemgetter(*names, names[0])
        self._size = len(group)
        self._values = self._read(group)
        self._constant = all(map(_is_constant, self._values))

    def unchanged(self) -> bool:
        """Whether all hyper-parameters are what they were; never sure of those that can change in place."""
        try:
            return self._constant and len(self.group) == self._size and self._read(self.group) == self._values
        except KeyError:
            return False

    def settle(self, optimizer: RuleOptimizer) -> bool:
        """Take new hyper-parameters in, if they lead to the same graph."""
        group = self.group
        try:
            self._values = self._read(group)
        except KeyError:
            return False
        if len(group) != self._size:
            return False
        hypers = optimizer._hypers(group)
        programs = optimizer._programs(group)
        maximize = bool(group.get("maximize", False))
        for bucket, row in self.rows:
            program = bucket.program
            if program is not programs.find(hypers, whole=True) or maximize != row.maximize:
                return False
            if program.graph.shared:
                groups = optimizer.param_groups
                check_alike(optimizer, [(i, optimizer._hypers(g), program.graph) for i, g in enumerate(groups)])
            row.settled = program.prelude.settled(hypers)
        self._constant = all(map(_is_constant, self._values))
        return True


def _is_constant(value: Any) -> bool:
    """A value that can't change without becoming another object."""
    return value is None or isinstance(value, (bool, int, float, str)) or (
        isinstance(value, tuple) and all(map(_is_constant, value))
    )  # fmt: skip


class _Scalars:
    """The scalar states of one bucket: where they are, and what they have to be."""

    def __init__(self, optimizer: RuleOptimizer, bucket: CompiledBucket) -> None:
        self.optimizer, self.bucket = optimizer, bucket
        specs = bucket.program.graph.scalar_states
        self._runs = {n: optimizer._column(n).runs(bucket.params) for n, spec in specs.items() if spec.per == "tensor"}
        self._shared = [name for name, spec in specs.items() if spec.per != "tensor"]
        self._remember()

    def unchanged(self) -> bool:
        """Whether the numbers are those that the rows were made for; those that groups hold are read anew."""
        for row in self.bucket.rows:
            for name in self._shared:
                row.scalars[name] = shared_scalar(self.optimizer, row.group_index, name, row.scalars[name])
        return self._read() == self._known

    def keep(self) -> None:
        """After the kernels: put the new numbers where they belong."""
        keep_scalars(self.optimizer, self.bucket)
        self._remember()

    def _read(self) -> dict[str, list[list[float]]]:
        return {name: [run.tolist() for run, _ in runs] for name, runs in self._runs.items()}

    def _remember(self) -> None:
        """Take the numbers into the rows, as they are now."""
        self._known = self._read()
        late = self.bucket.program.graph.late_states
        for name, runs in self._runs.items():
            each = [0.0] * len(self.bucket.params)
            for (_, positions), values in zip(runs, self._known[name], strict=True):
                for position, value in zip(positions, values, strict=True):
                    each[position] = value
            for row in self.bucket.rows:
                row.scalars[name] = [each[i] for i in row.members] if name in late else each[row.members[0]]
