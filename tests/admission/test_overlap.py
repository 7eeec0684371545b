"""The gate itself: what it refuses and what it lets through, layout by layout; and kernels at the edge of memory."""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd
from admission.canaries import Memory
from admission.serving import served_by_kernels
from zerograd.engine import admission

Parts = tuple[Tensor, Tensor, Tensor]
"""A parameter, its gradient and a state."""


def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.zeros(shape, dtype=dtype)


def complexes(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.complex64)


def channels_last() -> Tensor:
    return zeros(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)


def inference(*shape: int) -> Tensor:
    with torch.inference_mode():
        return zeros(*shape)


def imaginary(*shape: int) -> Tensor:
    """What autograd can hand over: the imaginary part of a lazily conjugated tensor."""
    found = torch.zeros(shape, dtype=torch.complex64).conj().imag
    assert found.is_neg()
    return found


def emptied() -> Tensor:
    """A tensor whose memory was taken away, as FSDP does with parameters that are not needed now."""
    tensor = zeros(4)
    tensor.untyped_storage().resize_(0)
    return tensor


class Dispatching(Tensor):
    """A tensor that decides itself what an operation does."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("nobody may operate on it")


class Named(Tensor):
    """A subclass with nothing of its own, as torch.nn.Parameter is."""


def dispatching() -> Tensor:
    return Tensor._make_subclass(Dispatching, zeros(4))


UNSAFE: dict[str, Callable[[], Parts]] = {
    "every other element of p": lambda: (zeros(8)[::2], zeros(4), zeros(4)),
    "all three with the same gaps": lambda: (zeros(8)[::2], zeros(8)[::2], zeros(8)[::2]),
    "p with a gap after each row": lambda: (zeros(3, 5)[:, :4], zeros(3, 4), zeros(3, 4)),
    "expanded p": lambda: (zeros(1).expand(4), zeros(4), zeros(4)),
    "rows of p in one place": lambda: (zeros(1, 4).expand(3, 4), zeros(3, 4), zeros(3, 4)),
    "windows of p overlap": lambda: (zeros(5).as_strided((3, 3), (1, 1)), zeros(3, 3), zeros(3, 3)),
    "expanded g": lambda: (zeros(4), zeros(1).expand(4), zeros(4)),
    "g with gaps": lambda: (zeros(4), zeros(8)[::2], zeros(4)),
    "g transposed": lambda: (zeros(4, 4), zeros(4, 4).t(), zeros(4, 4)),
    "p transposed": lambda: (zeros(4, 4).t(), zeros(4, 4), zeros(4, 4).t()),
    "state transposed": lambda: (zeros(4, 4), zeros(4, 4), zeros(4, 4).t()),
    "state with gaps": lambda: (zeros(4), zeros(4), zeros(8)[::2]),
    "p channels last, g not": lambda: (channels_last(), zeros(2, 3, 4, 5), channels_last()),
    "p channels last, state not": lambda: (channels_last(), channels_last(), zeros(2, 3, 4, 5)),
    "state of another shape": lambda: (zeros(4), zeros(4), zeros(2, 2)),
    "state of one element": lambda: (zeros(4), zeros(4), zeros(1)),
    "negative g": lambda: (zeros(4), torch._neg_view(zeros(4)), zeros(4)),
    "negative p": lambda: (torch._neg_view(zeros(4)), zeros(4), zeros(4)),
    "negative state": lambda: (zeros(4), zeros(4), torch._neg_view(zeros(4))),
    "imaginary g of one element": lambda: (zeros(1), imaginary(1), zeros(1)),
    "imaginary g without dimensions": lambda: (zeros(), imaginary(), zeros()),
    "sparse g": lambda: (zeros(4), zeros(4).to_sparse(), zeros(4)),
    "integer state": lambda: (zeros(4), zeros(4), zeros(4, dtype=torch.int32)),
    "complex p, real g": lambda: (complexes(4), zeros(4), complexes(4)),
    "real p, complex g": lambda: (zeros(4), complexes(4), zeros(4)),
    "complex p, real state": lambda: (complexes(4), complexes(4), zeros(4)),
    "complex p, its pairs as state": lambda: (complexes(4), complexes(4), zeros(4, 2)),
    "conjugate p": lambda: (complexes(4).conj(), complexes(4), complexes(4)),
    "conjugate g": lambda: (complexes(4), complexes(4).conj(), complexes(4)),
    "conjugate state": lambda: (complexes(4), complexes(4), complexes(4).conj()),
    "conjugate g of one element": lambda: (complexes(1), complexes(1).conj(), complexes(1)),
    "complex p with gaps": lambda: (complexes(8)[::2], complexes(4), complexes(4)),
    "state of another device": lambda: (zeros(4), zeros(4), zeros(4).to("meta")),
    "g of another device": lambda: (zeros(4), zeros(4).to("meta"), zeros(4)),
    "g that decides for itself": lambda: (zeros(4), dispatching(), zeros(4)),
    "p that decides for itself": lambda: (dispatching(), zeros(4), zeros(4)),
    "inference p": lambda: (inference(4), zeros(4), zeros(4)),
    "inference state": lambda: (zeros(4), zeros(4), inference(4)),
    "p without memory": lambda: (emptied(), zeros(4), zeros(4)),
    "g without memory": lambda: (zeros(4), emptied(), zeros(4)),
    "state without memory": lambda: (zeros(4), zeros(4), emptied()),
}

SAFE: dict[str, Callable[[], Parts]] = {
    "contiguous": lambda: (zeros(3, 4), zeros(3, 4), zeros(3, 4)),
    "a number": lambda: (zeros(), zeros(), zeros()),
    "empty": lambda: (zeros(0), zeros(0), zeros(0)),
    "all transposed": lambda: (zeros(3, 4).t(), zeros(3, 4).t(), zeros(3, 4).t()),
    "all channels last": lambda: (channels_last(), channels_last(), channels_last()),
    "one element, any stride": lambda: (zeros(8)[::8], zeros(1), zeros(1)),
    "a dimension of one element": lambda: (zeros(4, 1), zeros(1, 4).t(), zeros(4, 3)[:, :1].contiguous()),
    "at odd offsets": lambda: (zeros(9)[3:7], zeros(9)[1:5], zeros(9)[5:]),
    "other dtypes": lambda: (zeros(4, dtype=torch.bfloat16), zeros(4), zeros(4, dtype=torch.float64)),
    "inference g": lambda: (zeros(4), inference(4), zeros(4)),
    "complex": lambda: (complexes(3, 4), complexes(3, 4), complexes(3, 4)),
    "complex transposed": lambda: (complexes(3, 4).t(), complexes(3, 4).t(), complexes(3, 4).t()),
    "a subclass without dispatch": lambda: (zeros(4).as_subclass(Named), zeros(4), zeros(4)),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_layouts_are_refused(name: str) -> None:
    p, g, state = UNSAFE[name]()
    assert admission.layout_of(p, g, [("m", state)]) is None


@pytest.mark.parametrize("name", SAFE)
def test_safe_layouts_are_let_through(name: str) -> None:
    p, g, state = SAFE[name]()
    layout = admission.layout_of(p, g, [("m", state), ("to come", None)])
    assert layout is not None
    real = [
        torch.zeros(0, dtype=t.dtype).real.dtype for t in (p, g, state)
    ]  # a complex tensor is pairs of real numbers
    assert [layout.weight.dtype, layout.grad.dtype] == real[:2]
    assert [(n, form.dtype) for n, form in layout.states] == [("m", real[2]), ("to come", real[0])]


def test_overlapping_finds_what_comparing_all_pairs_finds() -> None:
    random = Random(3)
    for _ in range(2000):
        spans = []
        for _ in range(random.randint(0, 9)):
            start = random.randint(0, 30)
            spans.append((start, start + random.choice((0, 0, 1, 2, 5, 9)), random.randint(0, 5)))
        cut = random.randint(0, len(spans))
        expected = set()
        for i, (a, b, owner) in enumerate(spans):
            for j, (c, d, other) in enumerate(spans):
                if i < j and i < cut and max(a, c) < min(b, d):  # the first of a pair is written, the second may be
                    expected |= {owner, other}
        assert admission.overlapping(spans[:cut], spans[cut:]) == expected


@pytest.mark.parametrize(("shift", "compiled"), [(0, 0), (1, 0), (11, 0), (12, 2), (13, 2)])
def test_parameters_in_one_buffer_are_refused_if_they_share_a_number(shift: int, compiled: int) -> None:
    flat = torch.randn(32, generator=torch.Generator().manual_seed(1))
    params = [flat[:12].requires_grad_(), flat[shift : shift + 12].requires_grad_()]
    optimizer = zerograd.AdamW(params)
    for p in params:
        p.grad = torch.ones(12)
    assert len(served_by_kernels(optimizer)) == compiled


def test_a_gradient_may_be_read_by_several_but_not_be_written() -> None:
    params = [torch.randn(6, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in range(3)]
    shared = torch.ones(6)
    params[0].grad = params[1].grad = shared
    params[2].grad = params[0].detach()
    optimizer = zerograd.SGD(params, lr=0.1)
    assert served_by_kernels(optimizer) == {id(params[1])}, "the first is read while it is written"
    assert torch.equal(shared, torch.ones(6))


def test_a_lazy_clone_is_copied_before_it_is_written() -> None:
    original, given = torch.arange(5.0), torch.ones(5)
    kept = [original.clone(), given.clone()]
    p = torch._lazy_clone(original).requires_grad_()
    optimizer = zerograd.SGD([p], lr=0.5, momentum=0.9)
    for _ in range(3):
        p.grad = torch._lazy_clone(given)
        assert served_by_kernels(optimizer) == {id(p)}
        optimizer.state[p]["momentum_buffer"] = torch._lazy_clone(given)
    assert torch.equal(original, kept[0])
    assert torch.equal(given, kept[1])
    # buffers: 1, then 0.9 + 1 twice
    torch.testing.assert_close(p.detach(), kept[0] - 0.5 * (1 + 1.9 + 1.9))


def test_slices_of_flat_buffers_as_ddp_and_fsdp_make_them() -> None:
    weights, grads = Memory(4 * 200), Memory(4 * 200)
    params, at = [], 0
    for shape in [(3, 4), (7,), (), (2, 3, 2)]:
        strides = torch.empty(shape).stride()
        p = weights.place(torch.float32, at, shape, strides).zero_().requires_grad_()
        p.grad = grads.place(torch.float32, at + 1, shape, strides).fill_(at + 1.0)
        params.append(p)
        at += p.numel() + 1  # one canary between
    optimizer = zerograd.SGD(params, lr=1.0)
    for _ in range(2):
        assert served_by_kernels(optimizer) == set(map(id, params))
    assert weights.intact()
    assert grads.intact()
    assert all(torch.equal(p.detach(), -2 * p.grad) for p in params if p.grad is not None)


# ------------------------------------------------------------------------------------------------- the edge of memory


class Page:
    """One page of memory, with a page before and after it that nobody may even read."""

    def __init__(self) -> None:
        size = mmap.PAGESIZE
        self._pages = mmap.mmap(-1, 3 * size)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert protect(start, size, 0) == 0
        assert protect(start + 2 * size, size, 0) == 0

    def tensor(self, numbers: int, dtype: torch.dtype, at_end: bool) -> Tensor:
        """The first or the last numbers of the page."""
        size = mmap.PAGESIZE
        offset = 2 * size - numbers * dtype.itemsize if at_end else size
        return torch.frombuffer(self._pages, dtype=dtype, count=numbers, offset=offset)


@pytest.mark.skipif(sys.platform != "linux", reason="protects pages with Linux's numbers")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_kernels_do_not_even_read_beyond_their_tensors(dtype: torch.dtype) -> None:
    """A vector read past the end would end this process."""
    pages = [Page() for _ in range(4)]
    for numbers in (*range(1, 36), 63, 64, 65, 127, 129, 200):
        for at_end in (False, True):
            p, g, m, v = (page.tensor(numbers, dtype, at_end) for page in pages)
            for tensor in (p, g, m, v):
                tensor.fill_(0.5)
            p = p.requires_grad_()
            p.grad = g
            optimizer = zerograd.AdamW([p], lr=1.0)
            optimizer.state[p].update(step=torch.tensor(1.0), exp_avg=m, exp_avg_sq=v)
            assert served_by_kernels(optimizer) == {id(p)}
            assert len(set(p.tolist())) == 1
