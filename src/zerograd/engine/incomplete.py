"""Pieces of the flat tensor into which FullyShardedDataParallel (FSDP1) puts a model: nothing in them tells the rest.

A rule that looks at one element at a time takes them as they are. What needs a whole tensor, or all gradients, would
be another number on every process, so it is refused.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.engine.buckets import Bucket
from zerograd.engine.matrix_buckets import MatrixBucket

if TYPE_CHECKING:
    from zerograd.engine.kernel_buckets import CompiledBucket
    from zerograd.engine.optimizer import RuleOptimizer


def is_flat_piece(p: Tensor) -> bool:
    """Whether a parameter has become part of a flat tensor; where nobody has loaded FSDP, there are none."""
    return "torch.distributed.fsdp" in sys.modules and getattr(p, "_fsdp_flattened", False) is True


def refuse_pieces(optimizer: RuleOptimizer, buckets: Sequence[Bucket | CompiledBucket], measures: bool) -> None:
    """Raise RuntimeError if a number that each process would have another one of decides over pieces.

    measures: whether the norm of all gradients is asked for.
    """
    if not _are_there(p for bucket in buckets for p in bucket.params):
        return
    name = f"{type(optimizer).__name__}.step()"
    told = (
        "FullyShardedDataParallel has left a piece of a flat tensor on each process, which would go by its own piece; "
        "nothing was changed"
    )
    if measures:
        raise RuntimeError(
            f"{name}: clip and nonfinite go by the norm of all gradients, and {told}. Leave them out and call the "
            "model's clip_grad_norm_ before the step, or shard the model with torch.distributed.fsdp.fully_shard"
        )
    if any(bucket.program.graph.reductions for bucket in buckets if not isinstance(bucket, MatrixBucket)):
        raise RuntimeError(
            f"{name}: its rule takes norms or sums over whole tensors, and {told}. Shard the model with "
            "torch.distributed.fsdp.fully_shard, or take an optimizer that looks at one element at a time"
        )


def _are_there(params: Iterable[Tensor]) -> bool:
    """Whether one of the parameters is a piece, and other processes have others."""
    group: Any = torch.distributed
    if "torch.distributed.fsdp" not in sys.modules or not group.is_initialized() or group.get_world_size() == 1:
        return False
    return any(map(is_flat_piece, params))
