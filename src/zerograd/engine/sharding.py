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


def is_sharded(tensor: Any) -> bool:
    """Whether every process has a part of the tensor only."""
    return has_dtensor(tensor) and not all(place.is_replicate() for place in tensor.placements)


def whole(tensor: Any) -> Tensor:
    """All of a tensor, gathered if the processes have parts: all of them have to ask."""
    full: Tensor = tensor.full_tensor() if has_dtensor(tensor) else tensor
    return full


def put_back(target: Any, full: Tensor) -> None:
    """Store what this process holds of a sharded tensor; every process has computed all of it."""
    dtensor: Any = sys.modules["torch.distributed.tensor"]
    mesh = target.device_mesh
    everywhere = [dtensor.Replicate()] * mesh.ndim
    computed = dtensor.DTensor.from_local(full, mesh, everywhere, run_check=False)
    local(target).copy_(local(computed.redistribute(mesh, target.placements)))


def replicated(full: Tensor, like: Any) -> Tensor:
    """A tensor that all processes have, among those that a DTensor is sharded over."""
    dtensor: Any = sys.modules["torch.distributed.tensor"]
    mesh = like.device_mesh
    found: Tensor = dtensor.DTensor.from_local(full, mesh, [dtensor.Replicate()] * mesh.ndim, run_check=False)
    return found


def local(tensor: Any) -> Tensor:
    """The part of a DTensor that this process holds."""
    part: Tensor = tensor.to_local()
    return part
