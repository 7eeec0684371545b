"""Tensors of which each process may hold a part (DTensor); where nobody has loaded them, there are none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from torch import Tensor


def has_dtensor(tensor: Tensor) -> bool:
    """Whether a tensor is a DTensor; where nobody has loaded them, there are none."""
    module: Any = sys.modules.get("torch.distributed.tensor")
    return module is not None and isinstance(tensor, module.DTensor)


def is_sharded(tensor: Any) -> bool:
    """Whether every process has a part of the tensor only."""
    return has_dtensor(tensor) and not all(place.is_replicate() for place in tensor.placements)


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


def local(tensor: Any) -> Tensor:
    """The part of a DTensor that this process holds."""
    part: Tensor = tensor.to_local()
    return part


def whole(tensor: Any) -> Tensor:
    """All of a tensor, gathered if the processes have parts: all of them have to ask."""
    full: Tensor = tensor.full_tensor() if has_dtensor(tensor) else tensor
    return full


def replicated(full: Tensor, like: Any) -> Tensor:
    """A tensor that all processes have, among those that a DTensor is sharded over."""
    dtensor: Any = sys.modules["torch.distributed.tensor"]
    mesh = like.device_mesh
    found: Tensor = dtensor.DTensor.from_local(full, mesh, [dtensor.Replicate()] * mesh.ndim, run_check=False)
    return found


def put_back(target: Any, full: Tensor) -> None:
    """Store what this process holds of a sharded tensor; every process has computed all of it."""
    computed: Any = replicated(full, target)
    local(target).copy_(local(computed.redistribute(target.device_mesh, target.placements)))
