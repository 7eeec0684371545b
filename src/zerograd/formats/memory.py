"""The order of a tensor's elements in memory."""

from __future__ import annotations

import torch
from torch import Tensor


def is_dense(tensor: Tensor) -> bool:
    """Every element once, and no gaps, in whatever order of dimensions."""
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def positions(tensor: Tensor) -> Tensor:
    """The number of each element in the order of memory, int64 in the tensor's shape; of one with gaps, in its own."""
    numbers = torch.arange(tensor.numel(), dtype=torch.int64, device=tensor.device)
    dense = is_dense(tensor) and tensor.numel() > 0
    return numbers.as_strided(tensor.shape, tensor.stride()) if dense else numbers.view(tensor.shape)


def span(tensor: Tensor) -> tuple[int, int]:
    """The bytes of a dense tensor: from the first to after the last."""
    start = tensor.data_ptr()
    return start, start + tensor.numel() * tensor.element_size()
