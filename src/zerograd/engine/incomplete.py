"""Where a process has only a part of the model, and nothing in it tells the rest.

FullyShardedDataParallel (FSDP1) leaves pieces of the flat tensor into which it puts a model; ZeroRedundancyOptimizer
gives each process some of the parameters. A rule that looks at one element at a time takes them as they are. What needs
all gradients, or whole tensors of which there are pieces, would be another number on every process, so it is refused.
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

_FSDP, _ZERO = "torch.distributed.fsdp", "torch.distributed.optim.zero_redundancy_optimizer"


def is_flat_piece(p: Tensor) -> bool:
    """Whether a parameter has become part of a flat tensor; where nobody has loaded FSDP, there are none."""
    return _FSDP in sys.modules and getattr(p, "_fsdp_flattened", False) is True


def refuse_incomplete(optimizer: RuleOptimizer, buckets: Sequence[Bucket | CompiledBucket], measures: bool) -> None:
    """Raise RuntimeError if a number that each process would have another one of decides over what it has.

    measures: whether the norm of all gradients is asked for.
    """
    graphs = [bucket.program.graph for bucket in buckets if not isinstance(bucket, MatrixBucket)]
    name = f"{type(optimizer).__name__}.step()"
    if (measures or any(graph.spans_tensors for graph in graphs)) and _is_share():
        what, cure = "its rule sums over all parameters", "take an optimizer that looks at one parameter at a time"
        if measures:
            what = "clip and nonfinite go by the norm of all gradients"
            cure = "leave them out and call torch.nn.utils.clip_grad_norm_ before the step"
        raise RuntimeError(
            f"{name}: {what}, and ZeroRedundancyOptimizer gives each process some of the parameters, which would go by "
            f"its own; nothing was changed. Shard the model with torch.distributed.fsdp.fully_shard, or {cure}"
        )
    if not _are_pieces(p for bucket in buckets for p in bucket.params):
        return
    told = (
        "FullyShardedDataParallel has left a piece of a flat tensor on each process, which would go by its own piece; "
        "nothing was changed"
    )
    if measures:
        raise RuntimeError(
            f"{name}: clip and nonfinite go by the norm of all gradients, and {told}. Leave them out and call the "
            "model's clip_grad_norm_ before the step, or shard the model with torch.distributed.fsdp.fully_shard"
        )
    if any(graph.reductions for graph in graphs):
        raise RuntimeError(
            f"{name}: its rule takes norms or sums over whole tensors, and {told}. Shard the model with "
            "torch.distributed.fsdp.fully_shard, or take an optimizer that looks at one element at a time"
        )


def _are_pieces(params: Iterable[Tensor]) -> bool:
    """Whether one of the parameters is a piece, and other processes have others."""
    group: Any = torch.distributed
    if _FSDP not in sys.modules or not group.is_initialized() or group.get_world_size() == 1:
        return False
    return any(map(is_flat_piece, params))


def _is_share() -> bool:
    """Whether ZeroRedundancyOptimizer takes this step, and other processes have the other parameters.

    It leaves no mark on the optimizer that it makes, so its own frame is looked for; only while a step is prepared.
    """
    frame = sys._getframe(1) if _ZERO in sys.modules else None
    while frame is not None and frame.f_globals.get("__name__") != _ZERO:
        frame = frame.f_back
    return frame is not None and getattr(frame.f_locals.get("self"), "world_size", 1) > 1
