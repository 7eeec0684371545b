"""Where torch's own fused kernels for CPUs go wrong, or went wrong in some version: ours gives the exact step.

torch 2.13 computes all whole vectors of SGD in bfloat16 and float16 and stores none of them, and all of its fused
kernels walk through memory as if p, g and the state had the same strides and no gaps. What torch does is not asserted
here, only what is right; run ``benchmarks/torch_fused_is_wrong.py`` to see it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd
from admission.canaries import KINDS, Memory, extent, placed, strides_of, write

HALF = [torch.bfloat16, torch.float16]
SIZES = [1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 1000, 4096, 100_000]
FUSED = [None, True]
"""As zerograd is called, and as torch is called to get the kernels that go wrong."""


def eighths(shape: tuple[int, ...], seed: int) -> Tensor:
    """Multiples of 1/8 up to 2: sums and products of a few of them are exact in float32."""
    return torch.randint(-16, 17, shape, generator=torch.Generator().manual_seed(seed)).double() / 8


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_sgd_in_half_precision_moves_every_number(
    size: int, dtype: torch.dtype, momentum: float, fused: bool | None
) -> None:
    p = eighths((size,), 1).to(dtype).requires_grad_()
    exact, buffer = p.detach().double(), torch.zeros(size, dtype=torch.float64)
    optimizer = zerograd.SGD([p], lr=0.5, momentum=momentum, fused=fused)
    for step in range(3):
        g = eighths((size,), 10 + step)
        p.grad = g.to(dtype)
        optimizer.step()
        # Each number is rounded once a step, when it is stored; before that float32 is exact for such numbers.
        buffer = g if step == 0 else momentum * buffer + g
        exact = (exact - 0.5 * buffer).to(dtype).double()
        buffer = buffer.to(dtype).double()
        assert torch.equal(p.detach().double(), exact)
        if momentum:
            assert torch.equal(optimizer.state[p]["momentum_buffer"].double(), buffer)


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_small_update_of_a_small_number_is_not_lost(dtype: torch.dtype) -> None:
    """And one that is less than half of the spacing is, as rounding to the nearest says."""
    info = torch.finfo(dtype)
    p = torch.tensor([1.0, 1.0, 2.0**-10, 1.0], dtype=dtype).requires_grad_()
    p.grad = torch.tensor([1.0, 0.125, 2.0**-10, 0.0], dtype=dtype)
    zerograd.SGD([p], lr=info.eps).step()
    assert p.tolist() == [1 - info.eps, 1.0, 2.0**-10 * (1 - info.eps), 1.0]


# ------------------------------------------------------------------------------------------------------------ layouts


def sgd(p: Tensor, g: Tensor, state: dict[str, Any]) -> Tensor:
    state["momentum"] = 0.9 * state["momentum"] + g if state else g
    return p - 0.1 * state["momentum"]


def adamw(p: Tensor, g: Tensor, state: dict[str, Any]) -> Tensor:
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = 0.9 * state.get("m", torch.zeros_like(g)) + 0.1 * g
    v = state["v"] = 0.99 * state.get("v", torch.zeros_like(g)) + 0.01 * g * g
    return p * (1 - 0.1 * 0.01) - 0.1 * (m / (1 - 0.9**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8)


def adagrad(p: Tensor, g: Tensor, state: dict[str, Any]) -> Tensor:
    total = state["sum"] = state.get("sum", torch.zeros_like(g)) + g * g
    return p - 0.1 * g / (total.sqrt() + 1e-10)


Exact = Callable[[Tensor, Tensor, dict[str, Any]], Tensor]
REFERENCES: dict[str, tuple[Exact, dict[str, Any]]] = {
    "SGD": (sgd, {"lr": 0.1, "momentum": 0.9}),
    "AdamW": (adamw, {"lr": 0.1, "betas": (0.9, 0.99)}),
    "Adagrad": (adagrad, {"lr": 0.1}),
}
"""One step in float64, written from the papers."""

SHAPE = (2, 3, 4, 5)
LAYOUTS = [kind for kind in KINDS if kind not in ("expanded", "repeated_rows", "negative", "imaginary")]
ORDER = (2, 0, 3, 1)


def made(kind: str, dtype: torch.dtype, seed: int) -> tuple[Memory, Tensor]:
    """Random numbers in memory with canaries."""
    memory = Memory(dtype.itemsize * (extent(SHAPE, strides_of(kind, SHAPE, ORDER)) + 3))
    tensor = placed(memory, kind, dtype, 3, SHAPE, ORDER)
    write(tensor, torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    return memory, tensor


@pytest.mark.parametrize("fused", FUSED)
@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("of_gradient", [*LAYOUTS, "expanded"])
@pytest.mark.parametrize("of_parameter", LAYOUTS)
def test_strides_are_respected(of_parameter: str, of_gradient: str, name: str, fused: bool | None) -> None:
    reference, hypers = REFERENCES[name]
    memory, p = made(of_parameter, torch.float32, 1)
    optimizer = getattr(zerograd, name)([p.requires_grad_()], fused=fused, **hypers)
    exact, state = p.detach().double().contiguous(), {}  # type: ignore[var-annotated]
    for step in range(3):
        memory_of_gradient, g = made(of_gradient, torch.float32, 10 + step)
        p.grad = g
        optimizer.step()
        exact = reference(exact, g.double().contiguous(), state)
        # float32, three steps: each number is a few roundings of numbers up to 5 away from the exact one.
        torch.testing.assert_close(p.detach().double(), exact, rtol=1e-5, atol=1e-5)
        assert memory.intact()
        assert memory_of_gradient.intact()


@pytest.mark.parametrize("name", REFERENCES)
def test_a_model_that_goes_to_channels_last_after_a_step(name: str) -> None:
    """The states keep the strides of the first step; torch's fused kernels then mix up the numbers."""
    reference, hypers = REFERENCES[name]
    _, p = made("contiguous", torch.float32, 1)
    optimizer = getattr(zerograd, name)([p.requires_grad_()], fused=True, **hypers)
    exact, state = p.detach().double(), {}  # type: ignore[var-annotated]
    for step in range(4):
        if step == 2:
            p.data = p.data.contiguous(memory_format=torch.channels_last)
        p.grad = torch.empty_like(p).copy_(made("contiguous", torch.float32, 10 + step)[1])
        optimizer.step()
        exact = reference(exact, p.grad.double().contiguous(), state)
        torch.testing.assert_close(p.detach().double(), exact, rtol=1e-5, atol=1e-5)
