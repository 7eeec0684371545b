"""Memory with canaries: bytes before, between and after the tensors, which nobody may change.

Read as a number, a canary is huge or nan: a kernel that reads one shows it in its results.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

CANARY = 0x7F
MARGIN = 1024
"""Bytes before and after all tensors: more than the largest of them has, so a kernel that goes astray stays inside."""

_WHOLE = {2: torch.int16, 4: torch.int32, 8: torch.int64}

KINDS = ("contiguous", "reversed", "permuted", "channels_last", "stepped", "padded", "expanded", "repeated_rows",
         "negative", "imaginary")  # fmt: skip
"""How a tensor can lie in memory. The first four are dense; the last two hold the opposite of their values, the very
last as the imaginary part of a lazily conjugated tensor does: one number of each pair."""


class Memory:
    """A piece of memory full of canaries, in which tensors are placed."""

    def __init__(self, size: int) -> None:
        self.bytes = torch.full((MARGIN + size + MARGIN,), CANARY, dtype=torch.uint8)
        self._owned = torch.zeros_like(self.bytes)

    def place(self, dtype: torch.dtype, at: int, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
        """A tensor that starts ``at`` elements of its dtype behind the margin; strides in elements."""
        self._view(self._owned, _WHOLE[dtype.itemsize], at, shape, strides).fill_(-1)
        return self._view(self.bytes, dtype, at, shape, strides)

    def intact(self) -> bool:
        """Whether every byte that belongs to no tensor is a canary still."""
        return bool(((self.bytes == CANARY) | (self._owned != 0)).all())

    @staticmethod
    def _view(memory: Tensor, dtype: torch.dtype, at: int, shape: Sequence[int], strides: Sequence[int]) -> Tensor:
        whole = memory[: memory.numel() // 16 * 16].view(dtype)
        return whole.as_strided(tuple(shape), tuple(strides), MARGIN // dtype.itemsize + at)


def strides_of(kind: str, shape: Sequence[int], order: Sequence[int] = ()) -> tuple[int, ...]:
    """The strides of a tensor of a kind. order: of a permuted one, the dimensions from the slowest to the fastest."""
    dims = len(shape)
    if kind == "reversed":
        order = range(dims)[::-1]
    elif kind == "channels_last" and dims == 4:
        order = (0, 2, 3, 1)
    elif kind != "permuted" or len(order) != dims:
        order = range(dims)
    strides = [0] * dims
    run = 2 if kind in ("stepped", "imaginary") else 1
    for place, dim in enumerate(reversed(order)):
        strides[dim] = run
        run = run * max(1, shape[dim]) + (3 if kind == "padded" and place == 0 else 0)
    if kind == "expanded":
        strides = [0] * dims
    if kind == "repeated_rows" and dims:
        strides[0] = 0
    return tuple(strides)


def extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """Elements from the first to after the last."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def placed(
    memory: Memory, kind: str, dtype: torch.dtype, at: int, shape: Sequence[int], order: Sequence[int] = ()
) -> Tensor:
    """A tensor of a kind in a memory; ``write`` gives it values."""
    strides = strides_of(kind, shape, order)
    tensor = memory.place(dtype, at, shape, strides)
    return torch._neg_view(tensor) if kind in ("negative", "imaginary") else tensor


def write(tensor: Tensor, values: Tensor) -> None:
    """Give a tensor values; where elements share a place, the first one's."""
    with torch.no_grad():
        target = tensor.detach()
        for dim, (stride, size) in enumerate(zip(target.stride(), target.shape, strict=True)):
            if stride == 0 and size > 1:
                target, values = target.narrow(dim, 0, 1), values.narrow(dim, 0, 1)
        target.copy_(values)


def places(tensor: Tensor) -> list[int]:
    """Where each element lies, counted from the first byte of the tensor in elements: found by looking at every one."""
    index = torch.arange(max(1, extent(tensor.shape, tensor.stride())))
    return index.as_strided(tensor.shape, tensor.stride()).flatten().tolist()


def walkable(p: Tensor, others: Sequence[Tensor]) -> bool:
    """Whether p fills its memory without gaps or repetitions and the others have their elements where p has them."""
    own = places(p)
    dense = sorted(own) == list(range(len(own)))
    return dense and not any(t.is_neg() for t in (p, *others)) and all(places(t) == own for t in others)


def touched(tensor: Tensor) -> range:
    """The addresses of a tensor's bytes, those in its gaps included."""
    start = tensor.data_ptr()
    return range(start, start + extent(tensor.shape, tensor.stride()) * tensor.element_size())


def meet(a: range, b: range) -> bool:
    """Whether two ranges of addresses have one in common."""
    return a.start < b.stop and b.start < a.stop and bool(a) and bool(b)
