"""Tensors of more elements than 32 bits can count, without their memory: offsets are 64 bits wide all the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from admission.canaries import Memory
from zerograd.algebra import Rule, Tracer
from zerograd.engine.programs import Program
from zerograd.formats.layout import Layout
from zerograd.formats.plain import BF16, FP16, FP32, FP64, PLAIN, Format
from zerograd.formats.stochastic import BF16_STOCHASTIC, noise_key, rounded, step_key, stream_key
from zerograd.kernels.cpu.kernel import Kernel
from zerograd.kernels.cpu.printer import CHUNK_TABLE, CHUNKS
from zerograd.kernels.cpu.squares import squares_function
from zerograd.kernels.cpu.table import Entry, Table, _chunks
from zerograd.optim import SGD

BEYOND = [2**31 - 5, 2**31, 2**31 + 7, 2**32 - 3, 2**32, 2**32 + 1, 2**33 + 12345, 2**40 + 3]
"""Elements that lie before the small piece of a large tensor that is really there."""


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1, 2**32 + 17, 2**33 + 1])
def test_chunks_of_a_large_tensor_cover_it_once(size: int) -> None:
    sizes = [3, size, 0, 70_000]
    table, starts = _chunks([Entry((), size, 0) for size in sizes], sum(sizes))
    assert table.dtype == starts.dtype == np.int64
    for tensor, expected in enumerate(sizes):
        own = table[table[:, 0] == tensor]
        ends = own[:, 1] + own[:, 2]
        assert (own[:, 2] > 0).all()
        assert own[:, 2].sum() == expected
        assert (own[1:, 1] == ends[:-1]).all(), "each chunk begins where the one before it ends"
        if expected:
            assert own[0, 1] == 0
            assert ends[-1] == expected
            assert table[starts[tensor], 0] == tensor
            assert table[starts[tensor], 1] == 0


def program(rule: Rule, **values: float | bool) -> Program:
    return Program(Tracer(rule).graph({**rule.hypers, "lr": 0.5, **values}))


def tabled(
    kernel: Kernel, tensors: Sequence[Tensor], offset: int, scalars: int, streams: Sequence[int] = (),
    pieces: Sequence[int] = (),
) -> Table:  # fmt: skip
    """A table in which each tensor is the end of one that has ``offset`` elements before it.

    pieces: the lengths of the chunks, together all elements; one chunk if it is empty.
    """
    bases = [t.data_ptr() - offset * t.element_size() for t in tensors]
    numbers = tensors[0].numel()
    table = Table(kernel, [Entry(bases, numbers, 0, streams)], 1, scalars)
    assert table.tensors.dtype == np.int64
    lengths = list(pieces) or [numbers]
    starts = np.cumsum([0, *lengths[:-1]])
    assert sum(lengths) == numbers
    table._chunks = np.array([(0, offset + a, length) for a, length in zip(starts, lengths, strict=True)], np.int64)
    table._descriptor[CHUNKS], table._descriptor[CHUNK_TABLE] = len(lengths), table._chunks.ctypes.data
    return table


def launched(
    made: Program, layout: Layout, tensors: Sequence[Tensor], offset: int, streams: Sequence[int] = (),
    pieces: Sequence[int] = (), *, key: int = 0,
) -> None:  # fmt: skip
    """Run a kernel over tensors as if each was the end of one that has ``offset`` elements before it."""
    kernel = Kernel(made.graph, layout, made.prelude.nodes)
    table = tabled(kernel, tensors, offset, len(made.prelude.nodes), streams, pieces)
    hypers = {**made.graph.rule.hypers, "lr": 0.5, "weight_decay": 0.0, "momentum": 0.9}
    values = made.prelude.row(made.prelude.settled(hypers), 1.0, (False,) * len(made.graph.first_groups), {})
    table.set_row(0, 1.0, key, values)
    for function in kernel.functions:
        table.launch(function.address)


def momentum(form: Format) -> tuple[Program, Layout]:
    made = program(SGD.rule, momentum=0.9)
    assert list(made.graph.tensor_states) == ["momentum_buffer"]
    return made, Layout(form, PLAIN[form.dtype], (("momentum_buffer", PLAIN[form.dtype]),))


def randn(numbers: int, seed: int) -> Tensor:
    return torch.randn(numbers, generator=torch.Generator().manual_seed(seed))


def placed(form: Format, numbers: int, seed: int) -> tuple[Memory, Tensor]:
    """Random numbers between canaries."""
    memory = Memory(numbers * form.bytes + 8)
    tensor = memory.place(form.dtype, 1, (numbers,), (1,))
    return memory, tensor.copy_(randn(numbers, seed))


@pytest.mark.parametrize("form", [FP32, FP64, BF16, FP16], ids=lambda form: form.name)
@pytest.mark.parametrize("offset", BEYOND)
def test_a_kernel_finds_elements_beyond_32_bits(offset: int, form: Format) -> None:
    made, layout = momentum(form)
    found: list[list[Tensor]] = []
    for before in (0, offset):
        places = [placed(form, 77, seed) for seed in range(3)]
        tensors = [tensor for _, tensor in places]
        launched(made, layout, tensors, before, pieces=(32, 1, 44))
        assert all(memory.intact() for memory, _ in places)
        found.append(tensors)
    near, far = found
    assert all(torch.equal(a, b) for a, b in zip(near, far, strict=True))
    p, g, buffer = (placed(form, 77, seed)[1].double() for seed in range(3))
    buffer = 0.9 * buffer + g
    # One rounding of the format, after a few of float32.
    rounding = torch.finfo(form.dtype).eps
    torch.testing.assert_close(far[2].double(), buffer, rtol=rounding, atol=rounding)
    torch.testing.assert_close(far[0].double(), p - 0.5 * buffer, rtol=2 * rounding, atol=2 * rounding)
    assert torch.equal(far[1], placed(form, 77, 1)[1]), "the gradient"


@pytest.mark.parametrize("offset", BEYOND)
def test_a_reduction_finds_elements_beyond_32_bits(offset: int) -> None:
    made, layout = momentum(FP32)
    tensors = [placed(FP32, 77, seed)[1] for seed in range(3)]
    table = tabled(Kernel(made.graph, layout, made.prelude.nodes), tensors, offset, len(made.prelude.nodes))
    table.launch(squares_function(layout))
    exact = tensors[1].double().square().sum().item()
    assert table.summed(1)[0, 0] == pytest.approx(exact, rel=1e-6)


# --------------------------------------------------------------------------------------------------- stochastic noise


def noise_at(values: Tensor, key: int, offset: int) -> Tensor:
    """What ``rounded`` says of the elements from ``offset`` on, of a tensor too large to be made: the index is added to
    the lower half of the key, modulo 2**32."""
    low = (key + offset) & 0xFFFFFFFF
    return rounded(values, (key >> 32 << 32) | low)


@pytest.mark.parametrize("offset", [0, 1, 8192, *BEYOND])
def test_stochastic_noise_beyond_32_bits_is_what_the_format_says(offset: int) -> None:
    made, single = momentum(FP32)
    numbers, seed, step, ordinal = 131, 7, 3, 2
    exact = [placed(FP32, numbers, s)[1].bfloat16().float() for s in range(3)]
    low = [t.bfloat16() for t in exact]
    launched(made, single, exact, 0)  # the same step, kept in float32
    layout = Layout(BF16_STOCHASTIC, BF16, (("momentum_buffer", BF16_STOCHASTIC),))
    streams = [stream_key(ordinal, k) for k in range(len(layout.buffers))]
    launched(made, layout, low, offset, streams, (64, 3, 64), key=step_key(seed, step))
    for k, (got, wanted) in enumerate(zip(low, exact, strict=True)):
        if k == 1:
            assert torch.equal(got, wanted.bfloat16()), "the gradient"
            continue
        expected = noise_at(wanted, noise_key(seed, step, ordinal, k), offset)
        assert torch.equal(got.view(torch.int16), expected.view(torch.int16))
    nearest = exact[0].bfloat16()
    assert 20 < int((low[0] != nearest).sum()) < numbers - 20, "about half of the numbers go the other way"


def test_noise_does_not_hang_on_how_a_tensor_is_divided() -> None:
    made, _ = momentum(FP32)
    layout = Layout(BF16_STOCHASTIC, BF16, (("momentum_buffer", BF16_STOCHASTIC),))
    divisions: list[Callable[[int], list[int]]] = [lambda n: [n], lambda n: [1, n - 1], lambda n: [n // 2, n - n // 2]]
    found = []
    for division in divisions:
        tensors = [placed(BF16, 99, seed)[1] for seed in range(3)]
        launched(made, layout, tensors, 2**31 + 3, [5, 6, 7], division(99), key=11)
        found.append(tensors)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def test_noise_repeats_after_32_bits() -> None:
    """The index counts modulo 2**32; nearer than that, large tensors get other noise everywhere."""
    values, key = torch.linspace(-2, 2, 500), noise_key(1, 2, 3, 0)
    assert torch.equal(noise_at(values, key, 0), noise_at(values, key, 2**32))
    for offset in (1, 2**16, 2**31):
        changed = noise_at(values, key, 0) != noise_at(values, key, offset)
        assert 50 < int(changed.sum()) < 450
