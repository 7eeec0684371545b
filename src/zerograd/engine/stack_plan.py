"""Plans of matrix rules: the buckets of a step, used again as long as parameters, states and gradients are alike.

A matrix rule works with torch's own operations, which look at their tensors themselves. So it is enough that every
parameter and state is the very object that it was, where it was, and that each gradient is of the same kind.
"""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.engine import gradients
from zerograd.engine.gathering import Gathering, counts_steps
from zerograd.engine.matrix_buckets import MatrixBucket

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


class StackPlan:
    """The buckets of a step that has been taken, as a ``Plan`` has those of compiled kernels; nothing is left over."""

    whole = None
    rest: tuple[Tensor, ...] = ()

    def __init__(self, optimizer: RuleOptimizer, gathered: Gathering, measures: bool) -> None:
        self.optimizer, self.measures, self.reusable = optimizer, measures, True
        self.buckets = [bucket for bucket in gathered.eager if isinstance(bucket, MatrixBucket)]
        self._groups, self._state = optimizer.param_groups, optimizer.state
        self._extras = self._outside()
        self._everyone = [p for group in self._groups for p in group["params"]]
        self._live = [p.grad is not None for p in self._everyone]
        self._kinds = [[_kind(p, g) for p, g in zip(b.params, b.grads, strict=True)] for b in self.buckets]
        self._places = [[p.data_ptr() for p in bucket.params] for bucket in self.buckets]
        self._columns = [
            optimizer._column("step") if counts_steps(optimizer, bucket.program.graph) else None
            for bucket in self.buckets
        ]
        self.covered = frozenset(id(p) for bucket in self.buckets for p in bucket.params)
        self.release()

    def _outside(self) -> tuple[Any, ...]:
        optimizer = self.optimizer
        return (optimizer.clip, optimizer.nonfinite, optimizer.weight_format, len(optimizer.param_groups))

    def take(self) -> bool:
        """Never: the rule is called bucket by bucket."""
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
        )
        if not self.reusable or [p.grad is not None for p in everyone] != self._live:
            return False
        for index, bucket in enumerate(self.buckets):
            if not self._fits(index, bucket):
                self.release()
                return False
        return True

    def _fits(self, index: int, bucket: MatrixBucket) -> bool:
        """Hand a bucket the gradients and numbers of this step; False if the step does not fit it."""
        optimizer, params, state = self.optimizer, bucket.params, self._state
        group = optimizer.param_groups[bucket.group_index]
        grads = [p.grad for p in params if p.grad is not None]
        held = [state[p] for p in params]
        self.reusable = [p.data_ptr() for p in params] == self._places[index] and all(
            one.get(name) is tensor
            for name, tensors in bucket.states.items()
            for one, tensor in zip(held, tensors, strict=True)
        )
        kinds = [_kind(p, g) for p, g in zip(params, grads, strict=True)]
        if not self.reusable or kinds != self._kinds[index] or group.get("noise_seed", 0) != bucket.seed:
            return False
        column = self._columns[index]
        if column is not None:
            counts = column.read(params, held, 0.0)
            if counts.count(counts[0]) != len(counts):
                return False
            bucket.step_on(counts[0] + 1)
        bucket.grads = grads
        bucket.hypers = optimizer._hypers(group)
        bucket.maximize = bool(group.get("maximize", False))
        return True

    def keep(self) -> None:
        """After the rule: count the step."""
        for bucket, column in zip(self.buckets, self._columns, strict=True):
            if column is not None:
                column.write(bucket.params, [bucket.t] * len(bucket.params))

    def release(self) -> None:
        """After the step, or instead of it: the gradients are free to go."""
        for bucket in self.buckets:
            bucket.grads = []


def _kind(p: Tensor, g: Tensor) -> tuple[torch.Size, torch.dtype, torch.dtype, torch.layout, type[Tensor]]:
    """What has to stay as it is between two steps."""
    return p.shape, p.dtype, g.dtype, g.layout, type(g)
