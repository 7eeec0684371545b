"""The gate: which tensors a compiled kernel may touch by their addresses. Everything else goes the eager way.

A kernel walks over memory from the first element to the last, in the same order for a parameter, its gradient and its
states, and writes without looking. So all of them have to be dense, laid out alike, really there, and apart from all
others that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zerograd.formats.layout import Layout
from zerograd.formats.memory import is_dense
from zerograd.formats.plain import PLAIN, Format

_NO_DISPATCH = torch.Tensor.__torch_dispatch__


def layout_of(
    p: Tensor, g: Tensor, states: Sequence[tuple[str, Tensor | None]], weights: Mapping[torch.dtype, Format] = PLAIN
) -> Layout | None:
    """The layout of a parameter with its gradient and states, or None if a kernel may not touch one of them.

    states: name and tensor, None where it will be made like the parameter. weights: the formats of parameters.
    """
    if not is_plain(p) or p.is_inference() or not is_dense(p) or not _fits(g, p):
        return None
    formats: list[tuple[str, Format]] = []
    for name, state in states:
        if state is not None and (not _fits(state, p) or state.is_inference()):
            return None
        formats.append((name, PLAIN[p.dtype if state is None else state.dtype]))
    return Layout(weights[p.dtype], PLAIN[g.dtype], tuple(formats))


def is_plain(tensor: Tensor) -> bool:
    """A tensor of floating-point numbers in this machine's memory, and nothing else."""
    return (
        tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.dtype in PLAIN
        and type(tensor).__torch_dispatch__ is _NO_DISPATCH  # no wrapper round other tensors (DTensor, FakeTensor)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and not tensor.is_neg()  # memory holds the opposite
        and (tensor.numel() == 0 or tensor.data_ptr() != 0)
    )


def _fits(tensor: Tensor, p: Tensor) -> bool:
    """A plain tensor with its elements where p has them."""
    return (
        is_plain(tensor)
        and tensor.shape == p.shape
        and all(a == b or size == 1 for a, b, size in zip(tensor.stride(), p.stride(), p.shape, strict=True))
    )


def reach(tensor: Tensor, owner: int) -> list[tuple[int, int, int]]:
    """The bytes between the first and the last element of a strided tensor in memory; nothing of any other."""
    if (
        tensor.layout != torch.strided
        or tensor.device.type != "cpu"
        or type(tensor).__torch_dispatch__ is not _NO_DISPATCH
    ):
        return []
    if tensor.numel() == 0 or torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return []
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.data_ptr()
    return [(start, start + (last + 1) * tensor.element_size(), owner)]


def overlapping(written: Sequence[tuple[int, int, int]], read: Sequence[tuple[int, int, int]]) -> set[int]:
    """The owners of spans (start, end, owner) that share a byte with another span, one of the two being written."""
    found: set[int] = set()
    spans = sorted((*one, writes) for spans, writes in ((written, True), (read, False)) for one in spans)
    open_: list[tuple[int, int, bool]] = []
    for start, end, owner, writes in spans:
        if start == end:
            continue
        open_ = [one for one in open_ if one[0] > start]
        for _, other, other_writes in open_:
            if writes or other_writes:
                found |= {owner, other}
        open_.append((end, owner, writes))
    return found
