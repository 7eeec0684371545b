"""The gate: which tensors a compiled kernel may touch by their addresses. Everything else goes the eager way.

A kernel walks over memory from the first element to the last, in the same order for a parameter, its gradient and its
states, and writes without looking. So all of them have to be dense, laid out alike, really there, and apart from all
others that it touches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zerograd.formats.blocks import BlockFormat
from zerograd.formats.layout import Layout
from zerograd.formats.memory import is_dense
from zerograd.formats.plain import PLAIN, Format

_NO_DISPATCH = torch.Tensor.__torch_dispatch__


def layout_of(
    p: Tensor,
    g: Tensor,
    states: Sequence[tuple[str, Tensor | None]],
    weights: Mapping[torch.dtype, Format] = PLAIN,
    forms: Sequence[Format | None] = (),
) -> Layout | None:
    """The layout of a parameter with its gradient and states, or None if a kernel may not touch one of them.

    states: name and tensor, None where it will be made like the parameter. weights: the formats of parameters. forms:
    of states that are not, or will not be, tensors of a dtype as torch stores it; all None by default.
    Complex tensors count as pairs of real numbers: all of them are complex then.
    """
    if not is_plain(p) or p.is_inference() or not is_dense(p) or not _fits(g, p):
        return None
    forms = forms or (None,) * len(states)
    for (_, state), form in zip(states, forms, strict=True):
        if isinstance(form, BlockFormat):
            if not p.is_contiguous() or (state is not None and not _is_block(state, p)):
                return None
        elif state is not None and (not _fits(state, p) or state.is_inference()):
            return None
    dtype = p.dtype
    weight = real_format(dtype) if dtype in PAIRS else weights[dtype]
    kinds = [
        (name, form.name if form is not None else dtype if state is None else state.dtype)
        for (name, state), form in zip(states, forms, strict=True)
    ]
    key = (weight.name, dtype, g.dtype, *kinds)
    layout = _LAYOUTS.get(key)
    if layout is None:
        formats = tuple(
            (name, form or real_format(dtype if state is None else state.dtype))
            for (name, state), form in zip(states, forms, strict=True)
        )
        layout = _LAYOUTS[key] = Layout(weight, real_format(g.dtype), formats)
    return layout


def _is_block(codes: Tensor, p: Tensor) -> bool:
    """Codes with their bytes where p, which is contiguous, has its elements."""
    return (
        codes.dtype == torch.uint8
        and codes.shape == p.shape
        and codes.is_contiguous()
        and is_memory(codes)
        and not codes.is_inference()
    )


def is_memory(tensor: Tensor) -> bool:
    """A plain tensor in this machine's memory, whatever its dtype."""
    return (
        tensor.layout == torch.strided
        and tensor.is_cpu
        and type(tensor).__torch_dispatch__ is _NO_DISPATCH  # no wrapper round other tensors (DTensor, FakeTensor)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        and (tensor.data_ptr() != 0 or tensor.numel() == 0)
    )


_LAYOUTS: dict[tuple[object, ...], Layout] = {}
"""One object for each layout: asking for one must cost nothing."""

PAIRS = {torch.complex64: torch.float32, torch.complex128: torch.float64}
"""Complex dtypes, and what they are pairs of."""

_KNOWN = PLAIN.keys() | PAIRS.keys()


def real_format(dtype: torch.dtype) -> Format:
    """The format of the numbers of a tensor; of a complex one, of its parts."""
    return PLAIN[PAIRS.get(dtype, dtype)]


def is_plain(tensor: Tensor) -> bool:
    """A tensor of floating-point or complex numbers in this machine's memory, and nothing else."""
    if tensor.dtype not in _KNOWN or not is_memory(tensor):
        return False
    return not (tensor.is_neg() or tensor.is_conj())  # their memory holds other numbers


def is_common(kind: type[Tensor]) -> bool:
    """Whether tensors of a class go through torch's own operations."""
    return bool(kind.__torch_dispatch__ is _NO_DISPATCH)


def _fits(tensor: Tensor, p: Tensor) -> bool:
    """A plain tensor with its elements where p, which is dense, has them."""
    if not is_plain(tensor) or tensor.shape != p.shape or (tensor.dtype in PAIRS) != (p.dtype in PAIRS):
        return False
    if tensor.is_contiguous() and p.is_contiguous():
        return True
    return all(a == b or size == 1 for a, b, size in zip(tensor.stride(), p.stride(), p.shape, strict=True))


def relaid(p: Tensor, g: Tensor) -> Tensor | None:
    """Room for a gradient as it would have to lie for a kernel, where only that keeps it from one; else None."""
    if g.layout != torch.strided or not g.is_cpu or g.dtype not in _KNOWN or g.shape != p.shape:
        return None
    if type(g).__torch_dispatch__ is not _NO_DISPATCH or torch._C._functorch.is_functorch_wrapped_tensor(g):
        return None
    if g.data_ptr() == 0 and g.numel() and not g.is_neg() and not g.is_conj():
        return None
    return torch.empty_like(p, dtype=g.dtype, requires_grad=False) if is_plain(p) else None


def reach(tensor: Tensor, owner: int) -> list[tuple[int, int, int]]:
    """The bytes between the first and the last element of a strided tensor in memory; nothing of any other."""
    if tensor.layout != torch.strided or not tensor.is_cpu or type(tensor).__torch_dispatch__ is not _NO_DISPATCH:
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
    last = 0
    for start, end, *_ in spans:
        if start < last:
            break
        last = end
    else:
        return found  # nearly always: all apart
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
