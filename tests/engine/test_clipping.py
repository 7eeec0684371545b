"""Clipping inside the step: it is torch's clip_grad_norm_ and a step after it, but no gradient is touched."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from backends import backend
from dispatched import Asked
from engine.clipped import (
    CASES,
    WORLDS,
    MarsAdam,
    exact_norm,
    filled,
    give,
    gradients,
    make,
    measured,
    quarter,
    whole,
)  # fmt: skip
from engine.common import equal, noise, snapshot
from zerograd import optim

__all__ = ["backend"]
pytestmark = pytest.mark.usefixtures("backend")


@pytest.mark.parametrize("maximize", [False, True], ids=["descend", "climb"])
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("case", CASES)
def test_gradients_beyond_the_limit_count_a_quarter(case: str, world: str, maximize: bool) -> None:
    """Those within it count in full; and all stay as they are."""
    params, twins = WORLDS[world](), WORLDS[world]()
    give(params, 0)
    clipped, plain = make(case, params, clip=quarter(params), maximize=maximize), make(case, twins, maximize=maximize)
    for step, size in enumerate([1, 1 / 8, 1, 1 / 8, 1]):
        give(params, step, size)
        give(twins, step, size / 4 if size == 1 else size)
        before = gradients(params)
        clipped.step()
        plain.step()
        assert equal(snapshot(clipped), snapshot(plain)), f"step {step}"
        assert equal(before, gradients(params))
        assert float(clipped.grad_norm) == pytest.approx(exact_norm(params), rel=1e-15)
    assert plain.grad_norm is None


def test_a_state_that_starts_as_the_gradient_starts_as_the_clipped_one() -> None:
    params, twins = WORLDS["float32"](), WORLDS["float32"]()
    give(params, 0)
    give(twins, 0, 1 / 4)
    clipped, plain = MarsAdam(params, clip=quarter(params)), MarsAdam(twins)
    clipped.step()
    plain.step()
    assert equal(snapshot(clipped), snapshot(plain))


def sparse(step: int, size: float) -> Tensor:
    """Rows 0 and 2 of four, row 2 in two parts."""
    one, two = (whole(i, 2).float() * noise(100 * step + i, 2).sign() * size for i in range(2))
    return torch.sparse_coo_tensor([[0, 2, 2]], torch.stack([one, two, 2 * two]), (4, 2), check_invariants=True)


@pytest.mark.parametrize("maximize", [False, True], ids=["descend", "climb"])
@pytest.mark.parametrize("case", ["SGD", "SGD momentum", "Adagrad"])
def test_sparse_gradients_count_a_quarter(case: str, maximize: bool) -> None:
    """torch's clip_grad_norm_ can't take them."""
    name, _, momentum = case.partition(" ")
    runs: list[list[Tensor]] = []
    for clips in (True, False):
        size = 1.0 if clips else 0.25
        params = [noise(1, 3).requires_grad_(), noise(0, 4, 2).requires_grad_()]
        params[0].grad, params[1].grad = whole(5, 3).float(), sparse(0, 1.0)
        optimizer = getattr(optim, name)(
            params, lr=0.1, clip=quarter(params) if clips else None, maximize=maximize,
            **({"momentum": 0.9} if momentum else {}),
        )  # fmt: skip
        for step in range(3):
            params[0].grad, params[1].grad = whole(5, 3).float() * size, sparse(step, size)
            before = params[1].grad.to_dense()
            optimizer.step()
            assert torch.equal(params[1].grad.to_dense(), before)
        runs.append(snapshot(optimizer))
    assert equal(*runs)


def test_a_sparse_gradient_before_a_dense_one() -> None:
    """They do not share a bucket."""
    params = [noise(0, 4, 2).requires_grad_(), noise(1, 3).requires_grad_()]
    params[0].grad, params[1].grad = sparse(0, 1.0), whole(5, 3).float()
    optim.SGD(params, lr=0.1).step()


def run_beside_torch(case: str, params: list[Tensor], twins: list[Tensor], limit: float) -> None:
    clipped, plain = make(case, params, clip=limit), make(case, twins)
    for step, size in enumerate([10.0, 0.01, 1.0, 3.0]):
        for i, (p, q) in enumerate(zip(params, twins, strict=True)):
            p.grad = (noise(50 * step + i, *p.shape, dtype=torch.float64) * size).to(p.dtype)
            q.grad = p.grad.clone()
        clipped.step()
        found = torch.nn.utils.clip_grad_norm_(twins, limit)
        plain.step()
        assert (float(found) > limit) == (float(clipped.grad_norm) > limit) == (size >= 1)


@pytest.mark.parametrize("case", CASES)
def test_it_is_torchs_clipping_before_the_step(case: str) -> None:
    params, twins = filled(*[torch.float64] * 4), filled(*[torch.float64] * 4)
    run_beside_torch(case, params, twins, 1.0)
    torch.testing.assert_close(params, twins, rtol=1e-12, atol=1e-12)  # both norms are float64: a few roundings


@pytest.mark.parametrize("case", CASES)
def test_it_is_torchs_clipping_in_float32(case: str) -> None:
    params, twins = WORLDS["float32"](), WORLDS["float32"]()
    run_beside_torch(case, params, twins, 1.0)
    # torch's norm and its clipped gradients are float32: 1e-7 each, more where moments cancel.
    torch.testing.assert_close(params, twins, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["SGD", "AdamW"])
def test_it_is_torchs_clipping_with_mixed_dtypes(case: str) -> None:
    params, twins = WORLDS["mixed"](), WORLDS["mixed"]()
    run_beside_torch(case, params, twins, 1.0)
    # torch rounds the norm and the clipped gradient of a bfloat16 tensor to 8 bits; all others hang on that norm.
    torch.testing.assert_close(params, twins, rtol=2**-6, atol=2**-6, check_dtype=True)


@pytest.mark.parametrize("case", ["SGD", "AdamW"])
def test_a_closure_is_clipped_too(case: str) -> None:
    results = []
    for clips in (True, False):
        params = filled(*[torch.float64] * 3)
        optimizer = make(case, params, clip=0.5 if clips else None)

        def closure(params: list[Tensor] = params, optimizer: Any = optimizer, clips: bool = clips) -> Tensor:
            optimizer.zero_grad()
            loss = torch.stack([p.square().sum() for p in params]).sum()
            loss.backward()
            if not clips:
                torch.nn.utils.clip_grad_norm_(params, 0.5)
            return loss.detach()

        losses = [float(optimizer.step(closure)) for _ in range(4)]
        assert losses[-1] < losses[0]
        results.append(params)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


def test_a_gradient_scaler_unscales_before() -> None:
    """So the limit holds for the true gradients, without scaler.unscale_()."""
    results = []
    for clips in (True, False):
        p = noise(0, 3).requires_grad_()
        optimizer = optim.SGD([p], lr=0.1, clip=0.5 if clips else None)
        scaler = torch.amp.GradScaler("cpu", init_scale=512.0)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale((p * noise(1, 3)).sum() * 5).backward()
            if not clips:
                scaler.unscale_(optimizer)
                torch.nn.utils.clip_grad_norm_([p], 0.5)
            scaler.step(optimizer)
            scaler.update()
        results.append(p)
    torch.testing.assert_close(*results, rtol=1e-6, atol=1e-7)  # torch's norm is float32


# ------------------------------------------------------------------------------------------------------- the norm


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_norm_of_many_elements_is_that_of_float64(backend: str, set_threads: Callable[[int], None]) -> None:
    """12 million; and with kernels the same bits for any number of threads."""
    params = [torch.zeros(size).requires_grad_() for size in (11_900_001, 99_998, 1)]
    for i, p in enumerate(params):
        p.grad = noise(i, p.numel()) * 10**i
    expected = float(np.sqrt(sum(np.sum(p.grad.numpy().astype(np.longdouble) ** 2) for p in params)))
    optimizer = optim.SGD(params, lr=0.1, clip=1.0)
    found = set()
    for threads in (1, 2, 3, 8) if backend == "compiled" else (1, 2):
        set_threads(threads)
        optimizer.step()
        assert float(optimizer.grad_norm) == pytest.approx(expected, rel=1e-12)
        found.add(float(optimizer.grad_norm))
    assert backend == "eager" or len(found) == 1


@pytest.mark.parametrize("world", ["float32", "mixed", "with a rest"])
def test_on_a_cpu_the_norm_is_a_float(world: str) -> None:
    params = WORLDS[world]()
    optimizer = make("AdamW", params, clip=1.0)
    for step in range(3):
        give(params, step)
        optimizer.step()
        assert type(optimizer.grad_norm) is float


def test_the_norm_is_none_if_nobody_asked() -> None:
    params = WORLDS["float32"]()
    optimizer = make("SGD", params)
    give(params, 0)
    optimizer.step()
    assert optimizer.grad_norm is None


@pytest.mark.parametrize("clip", [math.inf, 1e30])
def test_a_limit_that_nothing_reaches_gives_the_norm_only(clip: float) -> None:
    params, twins = WORLDS["float32"](), WORLDS["float32"]()
    optimizers = make("AdamW", params, clip=clip), make("AdamW", twins)
    for step in range(3):
        for own, optimizer in zip((params, twins), optimizers, strict=True):
            give(own, step)
            optimizer.step()
        assert optimizers[0].grad_norm == measured(params)
    assert equal(snapshot(optimizers[0]), snapshot(optimizers[1]))


@pytest.mark.parametrize("case", CASES)
def test_clipping_waits_for_no_device(case: str) -> None:
    """On the meta device there are no numbers: a step that asked for one would fail."""
    params = [torch.empty(3, 2, device="meta").requires_grad_() for _ in range(3)]
    optimizer = make(case, params, clip=1.0)
    for _ in range(2):
        for p in params:
            p.grad = torch.empty_like(p)
        optimizer.step()
    assert optimizer.grad_norm.device.type == "meta"
    assert optimizer.grad_norm.shape == ()


def test_no_gradients_have_no_norm() -> None:
    optimizer = make("AdamW", WORLDS["float32"](), clip=1.0)
    optimizer.step()
    assert optimizer.grad_norm == 0.0
    assert not optimizer.state


def test_huge_gradients_in_float32() -> None:
    """Their squares are infinite in float32: torch's norm is, and it clips to zero. Here they are float64."""
    p, twin = (torch.zeros(4).requires_grad_() for _ in range(2))
    twin.grad = torch.full((4,), 1e20)
    assert torch.nn.utils.clip_grad_norm_([twin], 1.0).isinf()
    assert not twin.grad.any()
    optimizer = optim.SGD([p], lr=1.0, clip=1.0)
    for step in range(1, 4):
        p.grad = torch.full((4,), 1e20)
        optimizer.step()
        assert float(optimizer.grad_norm) == pytest.approx(2 * float(p.grad[0]), rel=1e-12)
        torch.testing.assert_close(p.detach(), torch.full((4,), -0.5 * step), rtol=1e-6, atol=0)


def test_tiny_gradients_in_float32() -> None:
    p = torch.zeros(4).requires_grad_()
    optimizer = optim.SGD([p], lr=1.0, clip=1.0)
    p.grad = torch.full((4,), 1e-30)
    optimizer.step()
    assert float(optimizer.grad_norm) == pytest.approx(2 * float(p.grad[0]), rel=1e-12)
    assert torch.equal(-p, p.grad)


# ------------------------------------------------------------------------------------------- what it does not cost


@pytest.mark.parametrize("where", ["optimizer", "group"])
@pytest.mark.parametrize("case", CASES)
def test_a_clipped_step_asks_torch_for_no_more(case: str, where: str, backend: str) -> None:
    """Than the same step without clipping, which asks for nothing unless it has a scalar state."""
    if backend == "eager":
        pytest.skip("operations are what the eager way consists of")
    asked = []
    for clip in (0.5, None):
        params = WORLDS["float32"]()
        optimizer = make(case, params, clip=clip if where == "optimizer" else None)
        if where == "group" and clip is not None:
            optimizer.param_groups[0]["clip"] = clip
        for step in range(3):
            give(params, step)
            with Asked() as seen:
                optimizer.step()
        asked.append(seen.operations)
    assert asked[0] == asked[1]
    assert case == "NAdam" or not asked[0]
