"""Plans: a step that has been gathered once and can be taken again, as long as nothing else has changed.

Nearly always the next step has the same parameters, gradients of the same kind and the same states; then only the
numbers have moved. A plan keeps the tables, and before each step makes sure that they still hold: every parameter,
state and group is the very object that it was, every tensor lies where it lay, every hyper-parameter that has changed
leads to the same graph. If anything differs, the step is gathered anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from zerograd.engine import admission, gradients
from zerograd.engine.gathering import Gathering
from zerograd.engine.kernel_buckets import CompiledBucket
from zerograd.engine.numbers import Hypers, Scalars
from zerograd.engine.owning import Owned
from zerograd.engine.scalar_states import counts_steps
from zerograd.engine.witness import Witness
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.counting import FAILED_CALL, Call, Counts, InOrder
from zerograd.kernels.cpu.inspector import Inspected, Inspector
from zerograd.kernels.cpu.rows import Rows
from zerograd.kernels.cpu.scaling import Scaling
from zerograd.kernels.cpu.table import PARALLEL, SHORT
from zerograd.kernels.cpu.versions import Versions
from zerograd.lifecycle.clipping import EPS

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

TINY = 1024
"""Elements a tensor below which the time goes into the tensors, not into their elements."""


class Plan(Owned):
    """The compiled buckets of a step that has been taken.

    measures: whether the norm of the gradients is wanted. covered: the ids of the parameters. rest: the parameters
    that go the eager way, gathered each time. reusable: after a step that it did not fit, whether it may fit a later
    one: other parameters had gradients. whole: the calls of a short step, if it can be taken in one. numbers: those of
    them that write the rows of tables; the rows of other tables are written in Python before.
    """

    def __init__(self, optimizer: RuleOptimizer, gathered: Gathering, measures: bool) -> None:
        super().__init__(optimizer)
        self.measures = measures
        self.scaling: Scaling | None = None
        self._extras = (optimizer.clip, optimizer.nonfinite, optimizer.weight_format)
        self.buckets = gathered.lasting
        self.rest = [p for bucket in gathered.passing for p in bucket.params]
        self.params = [p for bucket in self.buckets for p in bucket.params]
        self.covered = frozenset(map(id, self.params))
        self.rows = [row for bucket in self.buckets for row in bucket.rows]
        for row in self.rows:
            row.first = (False,) * len(row.first)  # at the next step
        self._hypers = [Hypers(optimizer, index, self.buckets) for index in range(len(optimizer.param_groups))]
        self._constant = all(hypers.constant for hypers in self._hypers)
        self._scalars = [Scalars(optimizer, bucket) for bucket in self.buckets if bucket.program.graph.scalar_states]
        self._places: list[list[tuple[memoryview, int]]] = []
        self.counts = Counts(self._counted())
        self.inspector = self._inspected()
        self.witness = self._witnessed()
        self.versions = Versions(self.params)
        calls = [self.witness.call, self.inspector.call, self.counts.check]
        self._questions = InOrder([call for call in calls if call is not None])
        self._counting = sum(call is not None for call in calls) - 1  # which of the calls looks at the counts
        total = sum(bucket.table.total for bucket in self.buckets)
        small = total < PARALLEL or total < TINY * len(self.params)  # other threads would gain nothing
        self._locked = total < PARALLEL
        short = small and total <= SHORT and not self.rest and not self._scalars
        self._native: list[tuple[CompiledBucket, Rows]] = []
        self._by_hand = self.buckets
        self.numbers: list[Call] = []
        self._scale = 1.0
        self._given = np.array([1.0])
        self.whole = self._at_once() if short and all(bucket.single_pass for bucket in self.buckets) else None
        self.reusable = True
        self.rests = 0  # steps for which the rest was gathered
        self._alive: list[Tensor | None] = []

    def _counted(self) -> list[np.ndarray[Any, Any]]:
        """The vectors in which the steps are counted; each row learns where its own count is."""
        column, vectors = self.optimizer._column("step"), []
        for bucket in self.buckets:
            if counts_steps(self.optimizer, bucket.program.graph):
                places: dict[int, tuple[memoryview, int]] = {}
                for run, positions in column.runs(bucket.params):
                    vectors.append(run)
                    places.update({position: (memoryview(run.data), i) for i, position in enumerate(positions)})
                for row in bucket.rows:
                    row.counter = places[row.members[0]]
                    self._places.append([places[member] for member in row.members])
        return vectors

    def _recounted(self) -> bool:
        """After a step of others, or a count set by hand: take the counts as they are, if each row's are equal."""
        for places in self._places:
            count = places[0][0][places[0][1]]
            if any(vector[i] != count for vector, i in places):
                return False
        self.counts.renew()
        return True

    def _inspected(self) -> Inspector:
        asked = Inspected()
        for bucket in self.buckets:
            for i, (p, place) in enumerate(zip(bucket.params, bucket.table.gradient_places, strict=True)):
                asked.add(p, bucket.grads[i], [tensors[i] for tensors in bucket.states.values()], place)
            bucket.grads = []  # the next step's gradients are others; these must be free to go
        asked.fixed += [vector for column in self.optimizer._columns.values() for vector in column.vectors]
        asked.fixed += [held["step"] for p in self.params if "step" in (held := self.optimizer.state.get(p, {}))]
        asked.elsewhere = [(start, end) for p in self.rest for start, end, _ in admission.reach(p, 0)]
        self.spans = asked.spans()
        elsewhere = self.covered | frozenset(map(id, self.rest))
        everyone = [p for group in self.optimizer.param_groups for p in group["params"]]
        asked.absent = [p for p in everyone if id(p) not in elsewhere]
        return asked.inspector()

    def _witnessed(self) -> Witness:
        states = []
        for bucket in self.buckets:
            graph = bucket.program.graph
            names = ["step"] if counts_steps(self.optimizer, graph) else []
            names += [name for name, spec in graph.scalar_states.items() if spec.per == "tensor"]
            names += bucket.states
            states.append((names, [self.optimizer.state[p] for p in bucket.params] if names else []))
        return Witness(self.optimizer, states, [hypers.free for hypers in self._hypers])

    def _at_once(self) -> InOrder | None:
        """All of a short step as one call, where everything in it can be asked and done in machine code."""
        if self.witness.call is None or self.inspector.call is None or self.versions.call is None:
            return None
        measuring = []
        if self.measures:
            policy = gradients.one_for_all(self.optimizer)
            if policy is None:
                return None
            signed = [(b.table, [-1.0 if row.maximize else 1.0 for row in b.rows]) for b in self.buckets]
            self.scaling = Scaling(signed, policy.limit, EPS, int(self._given.ctypes.data))
            measuring = [(bucket.measuring, bucket.table.descriptor) for bucket in self.buckets]
            measuring += [self.scaling.add, self.scaling.apply]
        found = [(bucket, bucket.native_rows(int(self._given.ctypes.data))) for bucket in self.buckets]
        self._native = [(bucket, rows) for bucket, rows in found if rows is not None]
        self._by_hand = [bucket for bucket, rows in found if rows is None]
        self._settle_rows()
        self.numbers = [rows.call for _, rows in self._native]
        kernels = [(bucket.kernel.functions[0].address, bucket.table.descriptor) for bucket in self.buckets]
        return InOrder(
            [self._questions.call, *self.numbers, *measuring, *kernels, self.counts.advance, self.versions.call]
        )

    def _settle_rows(self) -> None:
        """Hand what the hyper-parameters settle to the rows that machine code computes."""
        for bucket, rows in self._native:
            for number, row in enumerate(bucket.rows):
                rows.settle(number, row.settled)

    # ---------------------------------------------------------------------------------------------- the next step

    def entangled(self) -> bool:
        """Whether a gradient of the rest lies in memory that this plan writes: then the order of the updates counts."""
        read = [(a, b, 1) for p in self.rest if p.grad is not None for a, b, _ in admission.reach(p.grad, 1)]
        return bool(admission.overlapping([(start, end, 0) for start, end in self.spans], read)) if read else False

    def take(self, scale: float) -> bool:
        """Take a whole short step in one call; False, with nothing changed, if that can't be done.

        scale: what the gradients are multiplied by first.
        """
        assert self.whole is not None
        if scale != self._scale:
            self._scale = self._given[0] = scale
            for bucket in self._by_hand:
                bucket.factors = dict.fromkeys(range(len(self._hypers)), scale)
        taken = self._asked(self.whole, self._by_hand)
        if taken and self.scaling is not None:
            self.optimizer.grad_norm = self.scaling.norm
        return taken

    def ready(self) -> bool:
        """Whether this plan is right for the step to come, and everything is in its place for it."""
        # Kernels run without Python's lock then: nobody may free a gradient between this and the end of the step.
        alive = None if self._locked else [p.grad for p in self.params]
        if self.witness.call is None and not (self.witness.holds() and self._settle()):
            return self._fits_later(False)
        if not self._asked(self._questions, ()):
            return False
        if self.inspector.call is None and not self.inspector.passes():
            return False
        if not all(scalars.unchanged() for scalars in self._scalars):
            return self._fits_later(False)
        if alive is not None:
            if not all(p.grad is g for p, g in zip(self.params, alive, strict=True)):
                return self._fits_later(True)  # another thread has put in others meanwhile
            self._alive = alive
        return True

    def _asked(self, calls: InOrder, buckets: Sequence[CompiledBucket]) -> bool:
        """Make the calls, with the numbers of these buckets prepared; once more, if hyper-parameters had changed."""
        if not self._unchanged() or not (self._constant or self._settle()):
            return self._fits_later(False)
        answer = self._run(calls, buckets)
        if self.witness.is_group(answer) and self._settle():
            answer = self._run(calls, buckets)
        if answer and answer >> FAILED_CALL == self._counting and self._recounted():
            answer = self._run(calls, buckets)
        return answer == 0 or self._fits_later(self.witness.call is not None and answer >> FAILED_CALL == 1)

    def _run(self, calls: InOrder, buckets: Sequence[CompiledBucket]) -> int:
        for bucket in buckets:
            bucket.prepare()
            bucket.table.rewind()
        return calls.run()

    def _unchanged(self) -> bool:
        """Whether what is set on the optimizer itself is what it was."""
        optimizer = self.optimizer
        extras = (optimizer.clip, optimizer.nonfinite, optimizer.weight_format)
        return self.witness.outside() and extras == self._extras

    def _fits_later(self, reusable: bool) -> bool:
        """No for this step; and whether the tensors' gradients were the only reason."""
        self.reusable = reusable
        return False

    def release(self) -> None:
        """After the step, or instead of it: the gradients are free to go."""
        self._alive = []

    def keep(self) -> None:
        """After all kernels: count the step, put new scalar states where they belong."""
        pool.run_short(*self.counts.advance)
        for scalars in self._scalars:
            scalars.keep()
        self.versions.count()

    def _settle(self) -> bool:
        """Take in hyper-parameters that have changed; False if they lead to another graph."""
        changed = [hypers for hypers in self._hypers if not hypers.unchanged()]
        settled = all(hypers.settle() for hypers in changed) and self.witness.renew()
        # a group may have got a limit of its own, or lost it
        settled = settled and gradients.are_measured(self.optimizer) == self.measures
        settled = settled and (self.scaling is None or gradients.one_for_all(self.optimizer) is not None)
        self._constant = all(hypers.constant for hypers in self._hypers)
        self._settle_rows()
        return settled
