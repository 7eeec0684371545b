"""Plans without kernels: the buckets of matrix rules and sparse gradients, used again while everything is alike.

Their steps are torch's own operations, which look at their tensors themselves. So it is enough that every parameter
and state is the very object that it was, where it was, and that each gradient is of the same kind.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.engine import gradients
from zerograd.engine.buckets import Bucket, SparseBucket
from zerograd.engine.gathering import Gathering
from zerograd.engine.matrix_buckets import MatrixBucket, plain_numbers
from zerograd.engine.owning import Owned
from zerograd.engine.programs import is_constant
from zerograd.engine.scalar_states import counts_steps
from zerograd.engine.validation import POLICY, check_keys, needed_keys

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


def suits(gathered: Gathering) -> bool:
    """Whether all buckets of a step are of the kinds that can be used again."""
    for bucket in gathered.buckets:
        if isinstance(bucket, MatrixBucket):
            continue
        graph = bucket.program.graph
        if not isinstance(bucket, SparseBucket) or bucket.noise_keys or bucket.coding is not None:
            return False
        if graph.scalar_states or graph.first_groups:
            return False
    return bool(gathered.buckets)


class EagerPlan(Owned):
    """The buckets of a step that has been taken, as a ``Plan`` has those of compiled kernels; nothing is left over."""

    whole = None
    rest: tuple[Tensor, ...] = ()
    rests = 0

    def __init__(self, optimizer: RuleOptimizer, gathered: Gathering, measures: bool) -> None:
        super().__init__(optimizer)
        self.measures, self.reusable = measures, True
        self.buckets: list[Bucket] = gathered.eager
        self._groups, self._state = optimizer.param_groups, optimizer.state
        self._extras = self._outside()
        self._everyone = [p for group in self._groups for p in group["params"]]
        self._live = [p.grad is not None for p in self._everyone]
        self._params = [p for bucket in self.buckets for p in bucket.params]
        self._places = list(map(_place, self._params))
        self._kinds = [_kind(g) for bucket in self.buckets for g in bucket.grads]
        self._owned = [
            (p, [(name, tensors[at]) for name, tensors in bucket.states.items()])
            for bucket in self.buckets
            for at, p in enumerate(bucket.params)
            if bucket.states
        ]
        # What a group lacks: the object() is none that is known not to change.
        needed = [(name, object()) for name in needed_keys(optimizer)]
        self._names = [*needed, *((name, None) for name in ("maximize", "noise_seed", POLICY))]
        self._values: list[Any] | None = None
        """What the groups held of these the last time, if none of it can change without becoming another object."""
        self._counting = [bucket for bucket in self.buckets if counts_steps(optimizer, bucket.program.graph)]
        self._counted = [p for bucket in self._counting for p in bucket.params]
        self.covered = frozenset(id(p) for bucket in self.buckets for p in bucket.params)
        self.release()

    def _outside(self) -> tuple[Any, ...]:
        optimizer = self.optimizer
        return (optimizer.clip, optimizer.nonfinite, optimizer.weight_format, len(optimizer.param_groups))

    def take(self, _: float) -> bool:
        """Never: the buckets are run one by one."""
        return False

    def entangled(self) -> bool:
        """Whether something else has to be updated in between: never, nothing is left over."""
        return False

    def ready(self) -> bool:
        """Whether this plan is right for the step to come; then the buckets hold its gradients and numbers."""
        optimizer = self.optimizer
        everyone = [p for group in optimizer.param_groups for p in group["params"]]
        self.reusable = (
            optimizer.param_groups is self._groups
            and optimizer.state is self._state
            and self._outside() == self._extras
            and len(everyone) == len(self._everyone)
            and all(map(is_, everyone, self._everyone))
            and gradients.are_measured(optimizer) == self.measures
            and self._holds()
        )
        if not self.reusable or [p.grad is not None for p in everyone] != self._live:
            return False
        if self._fed() and self._numbered():
            return True
        self.release()
        return False

    def _holds(self) -> bool:
        """Whether the parameters are where they were, and their states the same tensors."""
        if list(map(_place, self._params)) != self._places:
            return False
        for p, tensors in self._owned:
            held = self._state.get(p)
            if held is None or any(held.get(name) is not tensor for name, tensor in tensors):
                return False
        return True

    def _fed(self) -> bool:
        """Hand the buckets their gradients; False if one is of another kind."""
        grads = [g for p in self._params if (g := p.grad) is not None]
        start = 0
        for bucket in self.buckets:
            end = start + len(bucket.params)
            bucket.grads = grads[start:end]
            start = end
        return list(map(_kind, grads)) == self._kinds

    def _numbered(self) -> bool:
        """Hand the buckets their hyper-parameters and step; False if they fit no bucket any more."""
        optimizer = self.optimizer
        values = [group.get(name, absent) for group in optimizer.param_groups for name, absent in self._names]
        if self._values is None or not all(map(is_, values, self._values)):
            self._values = None  # until they are known to fit
            if not self._set_hypers():
                return False
            self._values = values if all(map(is_constant, values)) else None
        return not self._counted or self._count()

    def _set_hypers(self) -> bool:
        """Hand the buckets their hyper-parameters; False if they fit no bucket any more."""
        optimizer = self.optimizer
        check_keys(optimizer)
        groups = [(group, optimizer._hypers(group)) for group in optimizer.param_groups]
        plain = groups if optimizer.rule.elementwise else [(group, plain_numbers(hypers)) for group, hypers in groups]
        for bucket in self.buckets:
            group, hypers = plain[bucket.group_index]
            if isinstance(bucket, MatrixBucket):
                if group.get("noise_seed", 0) != bucket.seed:
                    return False
            elif optimizer._programs(group).find(hypers) is not bucket.program:
                return False
            bucket.hypers, bucket.maximize = hypers, bool(group.get("maximize", False))
        return True

    def _count(self) -> bool:
        """Hand the buckets their step; False if it differs inside one."""
        states = [self._state[p] for p in self._counted]
        counts = self.optimizer._column("step").read(self._counted, states, 0.0)
        start = 0
        for bucket in self._counting:
            own = counts[start : start + len(bucket.params)]
            start += len(own)
            if own.count(own[0]) != len(own):
                return False
            bucket.t = own[0] + 1
        return True

    def keep(self) -> None:
        """After the buckets: count the step."""
        if self._counted:
            steps = [bucket.t for bucket in self._counting for _ in bucket.params]
            self.optimizer._column("step").write(self._counted, steps)

    def release(self) -> None:
        """After the step, or instead of it: the gradients are free to go."""
        for bucket in self.buckets:
            bucket.grads = []


def _place(p: Tensor) -> tuple[int, torch.Size, torch.dtype]:
    """What of a parameter has to stay as it is between two steps."""
    return p.data_ptr(), p.shape, p.dtype


def _kind(g: Tensor) -> tuple[torch.Size, torch.dtype, torch.layout, type[Tensor]]:
    """What of a gradient has to stay as it is between two steps."""
    return g.shape, g.dtype, g.layout, type(g)
