"""Numbers of a plan: hyper-parameters of the groups, step counts and scalar states, as they were at the last step."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING

from zerograd.engine.kernel_buckets import CompiledBucket, Row
from zerograd.engine.owning import Owned
from zerograd.engine.programs import is_constant
from zerograd.engine.scalar_states import check_alike, keep_scalars, shared_scalar

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


class Hypers(Owned):
    """The hyper-parameters of one group. constant: whether none of them can change without becoming another object.

    free: the keys of the group that are states, not hyper-parameters.
    """

    def __init__(self, optimizer: RuleOptimizer, index: int, buckets: list[CompiledBucket]) -> None:
        super().__init__(optimizer)
        self._group = group = optimizer.param_groups[index]
        self._rows: list[tuple[CompiledBucket, Row]] = [
            (bucket, row) for bucket in buckets for row in bucket.rows if row.group_index == index
        ]
        self.free = frozenset(group) & optimizer._group_rule(group).states.keys()
        names = [name for name in group if name != "params" and name not in self.free]
        self._read = itemgetter(*names, names[0])  # at least two names: a tuple
        self._values = self._read(group)
        self.constant = all(map(is_constant, self._values))

    def unchanged(self) -> bool:
        """Whether all are what they were; never sure of those that can change in place."""
        try:
            return self.constant and self._read(self._group) == self._values
        except KeyError:
            return False

    def settle(self) -> bool:
        """Take new values in, if they lead to the same graph."""
        group, optimizer = self._group, self.optimizer
        try:
            values = self._read(group)
        except KeyError:
            return False
        hypers = optimizer._hypers(group)
        programs = optimizer._programs(group)
        maximize = bool(group.get("maximize", False))
        for bucket, row in self._rows:
            program = bucket.program
            if program is not programs.find(hypers, whole=True) or maximize != row.maximize:
                return False
            if program.graph.shared:
                groups = optimizer.param_groups
                check_alike(optimizer, [(i, optimizer._hypers(g), program.graph) for i, g in enumerate(groups)])
            row.settled = program.prelude.settled(hypers)
            row.seed = int(group.get("noise_seed", 0))
        self._values = values
        self.constant = all(map(is_constant, values))
        return True


class Scalars(Owned):
    """The scalar states of one bucket: where they are, and what they have to be."""

    def __init__(self, optimizer: RuleOptimizer, bucket: CompiledBucket) -> None:
        super().__init__(optimizer)
        self._bucket = bucket
        specs = bucket.program.graph.scalar_states
        self._runs = {n: optimizer._column(n).runs(bucket.params) for n, spec in specs.items() if spec.per == "tensor"}
        self._shared = [name for name, spec in specs.items() if spec.per != "tensor"]
        self._remember()

    def unchanged(self) -> bool:
        """Whether the numbers are those that the rows were made for; those that groups hold are read anew."""
        for row in self._bucket.rows:
            for name in self._shared:
                row.scalars[name] = shared_scalar(self.optimizer, row.group_index, name, row.scalars[name])
        return self._read() == self._known

    def keep(self) -> None:
        """After the kernels: put the new numbers where they belong."""
        keep_scalars(self.optimizer, self._bucket)
        self._remember()

    def _read(self) -> dict[str, list[list[float]]]:
        return {name: [run.tolist() for run, _ in runs] for name, runs in self._runs.items()}

    def _remember(self) -> None:
        """Take the numbers into the rows, as they are now."""
        self._known = self._read()
        late = self._bucket.program.graph.late_states
        for name, runs in self._runs.items():
            each = [0.0] * len(self._bucket.params)
            for (_, positions), values in zip(runs, self._known[name], strict=True):
                for position, value in zip(positions, values, strict=True):
                    each[position] = value
            for row in self._bucket.rows:
                row.scalars[name] = [each[i] for i in row.members] if name in late else each[row.members[0]]
