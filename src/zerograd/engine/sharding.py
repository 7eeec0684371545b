"""Sharded tensors (DTensor): a rule that looks at one element at a time may run on each process's own part.

That needs no communication and none of DTensor's operations on lists, of which several are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zerograd.engine.buckets import Bucket
from zerograd.kernels.reducing import Kernel


def has_dtensor(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor; where nobody has loaded them, there are none."""
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def sharded_alike(tensors: Sequence[Any]) -> bool:
    """Whether all are DTensors, each process with the same part of every one, and no sums are outstanding."""
    first = tensors[0]
    return all(
        has_dtensor(t)
        and t.placements == first.placements
        and t.device_mesh == first.device_mesh
        and t.to_local().shape == first.to_local().shape
        and not any(placement.is_partial() for placement in t.placements)
        for t in tensors
    )


@dataclass
class ShardBucket(Bucket):
    """DTensors that lie alike: computed and stored in the local tensors, which share memory with them."""

    def compute(self) -> Kernel:
        with torch.no_grad():
            own = Bucket(
                self.program, self.group_index, self.hypers, self.device, self.dtype, self.t, self.first, self.maximize,
                params=[local(p) for p in self.params],
                grads=[local(g) for g in self.grads],
                states={name: [local(t) for t in tensors] for name, tensors in self.states.items()},
                scalars=self.scalars,
                factors=self.factors,
            )  # fmt: skip
            yield from own.run()
        torch.autograd.graph.increment_version(self.params)
        self.new_scalars = own.new_scalars


def local(tensor: Any) -> Tensor:
    """The part of a DTensor that this process holds."""
    part: Tensor = tensor.to_local()
    return part
