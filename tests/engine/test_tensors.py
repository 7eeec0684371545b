"""Tensors of every kind: complex, sparse, strided in any way, of mixed dtypes, empty, or differentiated through."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import FLAGS, OWN, SHARED, equal, give_gradients, noise, ours, parameters, torchs


def strided(kind: str) -> Tensor:
    base = noise(0, 4, 6)
    return {
        "contiguous": base.clone(),
        "transposed": base.clone().t(),
        "every second column": base.clone()[:, ::2],
        "channels last": noise(0, 2, 3, 4, 4).to(memory_format=torch.channels_last),
        "number": noise(0),
        "empty": noise(0, 0, 3),
    }[kind]


KINDS = ["contiguous", "transposed", "every second column", "channels last", "number", "empty"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_strides_do_not_matter(name: str, kind: str) -> None:
    odd, plain = strided(kind).requires_grad_(), strided(kind).contiguous().requires_grad_()
    for step in range(3):
        g = noise(step, *plain.shape)
        odd.grad = g if step % 2 else torch.empty_like(odd).copy_(g)
        plain.grad = g
        if step == 0:
            optimizers = [ours(name, [p], **FLAGS.get(name, {})) for p in (odd, plain)]
        for optimizer in optimizers:
            optimizer.step()
    # Reductions (LAMB, StableAdamW, Prodigy) sum in the order of memory: one rounding of float64 or float32.
    assert torch.allclose(odd, plain, rtol=1e-6, atol=1e-7)


def test_an_expanded_gradient_is_read_right() -> None:
    p, q = noise(0, 4, 3).requires_grad_(), noise(0, 4, 3).requires_grad_()
    p.grad, q.grad = noise(1, 3).expand(4, 3), noise(1, 3).expand(4, 3).clone()
    for x in (p, q):
        optim.AdamW([x]).step()
    # One of them goes the eager way, the other through a kernel that rounds products and sums once: an ulp.
    torch.testing.assert_close(p, q, rtol=2e-7, atol=1e-8)


@pytest.mark.parametrize("name", SHARED)
def test_complex_parameters_equal_torchs(name: str) -> None:
    runs = []
    for make in (torchs, ours):
        p = torch.view_as_complex(noise(0, 5, 2, dtype=torch.float64)).requires_grad_()
        optimizer = make(name, [p], **FLAGS.get(name, {}))
        for step in range(4):
            p.grad = torch.view_as_complex(noise(step + 1, 5, 2, dtype=torch.float64))
            optimizer.step()
        runs.append((p.detach(), {k: v for k, v in optimizer.state[p].items() if k != "step"}))
    (x, theirs), (y, mine) = runs
    # torch's scalar states are float32 here: 1e-7 of the step, which NAdam's and ASGD's rates are computed from.
    assert torch.allclose(x, y, rtol=1e-6)
    assert set(theirs) == set(mine)
    assert all(mine[k].dtype == v.dtype for k, v in theirs.items() if v.dim())


def sparse_gradient(step: int) -> Tensor:
    rows = torch.tensor([[0, 2, 2]])  # a row twice: it has to be summed first
    return torch.sparse_coo_tensor(rows, noise(step, 3, 3), (5, 3), check_invariants=True)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's Adagrad makes sparse tensors unchecked
@pytest.mark.parametrize(
    ("name", "hypers"),
    [("SGD", {"lr": 0.1}), ("SGD", {"lr": 0.1, "momentum": 0.9}), ("SGD", {"lr": 0.1, "maximize": True}),
     ("Adagrad", {"lr": 0.1}), ("Adagrad", {"lr": 0.1, "lr_decay": 0.5, "initial_accumulator_value": 0.3})],
    ids=str,
)  # fmt: skip
def test_sparse_gradients_equal_torchs(name: str, hypers: dict[str, Any]) -> None:
    runs = []
    for make in (torchs, ours):
        p = noise(0, 5, 3).requires_grad_()
        optimizer = make(name, [p], **hypers)
        for step in range(4):
            p.grad = sparse_gradient(step)
            optimizer.step()
        runs.append(p.detach())
    assert torch.allclose(*runs, rtol=1e-6)
    assert not torch.equal(runs[1], noise(0, 5, 3))


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_decay_with_sparse_gradients_is_refused(name: str) -> None:
    p = noise(0, 5, 3).requires_grad_()
    optimizer = ours(name, [p], lr=0.1, weight_decay=0.1)
    p.grad = sparse_gradient(0)
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse gradients"):
        optimizer.step()
    assert torch.equal(p, noise(0, 5, 3))


def test_dtypes_may_be_mixed_in_one_optimizer() -> None:
    dtypes = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
    together = [noise(0, 4).to(d).requires_grad_() for d in dtypes]
    apart = [noise(0, 4).to(d).requires_grad_() for d in dtypes]
    optimizers = [optim.AdamW(together), *(optim.AdamW([p]) for p in apart)]
    for step in range(3):
        give_gradients(together, step)
        for p, q in zip(apart, together, strict=True):
            p.grad = q.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert equal([p.detach() for p in together], [p.detach() for p in apart])
    assert [optimizers[0].state[p]["exp_avg"].dtype for p in together] == dtypes


def test_a_double_parameter_beside_a_float_is_computed_in_double() -> None:
    p = noise(0, 4, dtype=torch.float64).requires_grad_()
    q = noise(0, 4, dtype=torch.float64).requires_grad_()
    p.grad = q.grad = noise(1, 4, dtype=torch.float64)
    optim.AdamW([p, noise(2, 4).requires_grad_()]).step()
    torch.optim.AdamW([q]).step()
    assert torch.allclose(p, q, rtol=1e-15)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_autograd_goes_through_a_differentiable_step(name: str) -> None:
    gradients = []
    for module in (torch.optim, optim):
        start = noise(0, 4, dtype=torch.float64).requires_grad_()
        p = start.clone()
        optimizer = getattr(module, name)([p], lr=0.1, differentiable=True)
        for step in range(3):
            p.grad = noise(step + 1, 4, dtype=torch.float64) * p.detach()
            optimizer.step()
        (p**2).sum().backward()
        gradients.append(start.grad)
    assert torch.allclose(*gradients, rtol=1e-12)


def test_autograd_reaches_the_learning_rate() -> None:
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    start, g = noise(0, 4, dtype=torch.float64), noise(1, 4, dtype=torch.float64)
    p = start.clone().requires_grad_() * 1.0
    optimizer = optim.SGD([p], lr=lr, differentiable=True)
    p.grad = g
    optimizer.step()
    p.sum().backward()
    assert torch.allclose(lr.grad, -g.sum())


def test_a_tensor_learning_rate_is_read_every_step() -> None:
    runs = []
    for make in (torchs, ours):
        params = parameters()
        lr = torch.tensor(0.1)
        optimizer = make("Adam", params, lr=lr)
        for step in range(3):
            give_gradients(params, step)
            optimizer.step()
            lr.mul_(0.5)
        runs.append([p.detach() for p in params])
    assert all(torch.allclose(x, y, rtol=1e-6) for x, y in zip(*runs, strict=True))
