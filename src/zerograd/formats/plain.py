"""Plain formats: the dtypes of floating-point tensors, each value rounded to the nearest when it is stored."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Format:
    """How one tensor is stored. dtype: of its elements. bytes: an element. stochastic: how it is rounded."""

    name: str
    dtype: torch.dtype
    bytes: int
    stochastic: bool = False


FP32 = Format("fp32", torch.float32, 4)
FP64 = Format("fp64", torch.float64, 8)
BF16 = Format("bf16", torch.bfloat16, 2)
FP16 = Format("fp16", torch.float16, 2)

PLAIN = {one.dtype: one for one in (FP32, FP64, BF16, FP16)}
"""The format of a dtype as torch stores it."""
