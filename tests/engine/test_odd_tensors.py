"""Tensors of an unusual kind go through a step as they do in torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd as optim
from engine.common import FLAGS, OWN, SHARED, give_gradients, noise, ours, torchs

EVERY = [*SHARED, *OWN]


@pytest.mark.parametrize("name", EVERY)
def test_parameters_without_storage_can_be_stepped(name: str) -> None:
    """Shapes only, as a dry run on the meta device has them."""
    p = nn.Parameter(torch.empty(3, 2, device="meta"))
    optimizer = ours(name, [p], **FLAGS.get(name, {}))
    for _ in range(2):
        p.grad = torch.empty(3, 2, device="meta")
        optimizer.step()
    assert all(v.device.type == "meta" for v in optimizer.state[p].values() if v.dim())
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is not None


@pytest.mark.parametrize("name", EVERY)
def test_memory_may_come_after_the_optimizer(name: str) -> None:
    """``to_empty`` and ``to`` swap tensors of wrapped kinds, such as fully_shard makes: the object stays."""
    early, usual = nn.Parameter(torch.empty(3, 2, device="meta")), nn.Parameter(noise(0, 3, 2))
    optimizers = [ours(name, [p], **FLAGS.get(name, {})) for p in (early, usual)]
    torch.utils.swap_tensors(early, nn.Parameter(noise(0, 3, 2)))
    for step in range(3):
        for p, optimizer in zip((early, usual), optimizers, strict=True):
            p.grad = noise(step + 1, 3, 2)
            optimizer.step()
    assert torch.equal(early, usual)


@pytest.mark.parametrize("shape", [(0,), (3, 0), ()], ids=str)
@pytest.mark.parametrize("name", EVERY)
def test_empty_tensors_and_numbers_beside_others_change_nothing_for_them(name: str, shape: tuple[int, ...]) -> None:
    one, two = noise(0, 4).requires_grad_(), noise(0, 4).requires_grad_()
    odd = torch.ones(shape).requires_grad_()
    optimizers = [ours(name, [one, odd], **FLAGS.get(name, {})), ours(name, [two], **FLAGS.get(name, {}))]
    for step in range(3):
        one.grad, two.grad, odd.grad = noise(step, 4), noise(step, 4), torch.zeros(shape)
        for optimizer in optimizers:
            optimizer.step()
    assert torch.equal(one, two)
    assert not odd.isnan().any()


class Marked(nn.Parameter):
    """A subclass of Parameter, as FSDP and LoRA libraries have them."""


@pytest.mark.parametrize("name", EVERY)
def test_subclasses_of_parameter_go_with_the_others(name: str) -> None:
    kinds: list[list[Any]] = [[Marked, nn.Parameter, nn.Parameter], [nn.Parameter] * 3]
    runs = []
    for kind in kinds:
        params = [make(noise(i, 3)) for i, make in enumerate(kind)]
        optimizer = ours(name, params, **FLAGS.get(name, {}))
        for step in range(3):
            give_gradients(params, step)
            optimizer.step()
        runs.append(params)
    for p, q in zip(*runs, strict=True):
        # Reductions over all add up in another order: one rounding of float64, cast to float32.
        torch.testing.assert_close(p.data, q.data, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", EVERY)
def test_a_gradient_with_a_graph_is_read_and_left_alone(name: str) -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = ours(name, [p], **FLAGS.get(name, {}))
    (g,) = torch.autograd.grad((p**3).sum(), p, create_graph=True)
    p.grad = g
    optimizer.step()
    assert p.grad is g
    assert g.grad_fn is not None
    assert all(not v.requires_grad for v in optimizer.state[p].values())


@pytest.mark.parametrize("name", EVERY)
def test_one_gradient_may_serve_two_parameters(name: str) -> None:
    a, b = noise(0, 3).requires_grad_(), noise(0, 3).requires_grad_()
    g = noise(1, 3)
    kept = g.clone()
    optimizer = ours(name, [a, b], **FLAGS.get(name, {}))
    for _ in range(2):
        a.grad = b.grad = g
        optimizer.step()
    assert torch.equal(a, b)
    assert torch.equal(g, kept)


def test_a_parameter_that_is_no_leaf_of_autograd_any_more_is_stepped() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.AdamW([p])
    p.grad = noise(1, 3)
    p.requires_grad_(False)
    optimizer.step()
    assert not torch.equal(p, noise(0, 3))


def test_a_lazily_negated_gradient_is_read_right() -> None:
    x = torch.complex(noise(0, 3), noise(1, 3))
    p, q = torch.zeros(3).requires_grad_(), torch.zeros(3).requires_grad_()
    p.grad, q.grad = x.conj().imag, -noise(1, 3)
    assert p.grad.is_neg()
    for parameter in (p, q):
        optim.SGD([parameter], lr=1.0, momentum=0.9).step()
    assert torch.equal(p, q)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
@pytest.mark.parametrize("name", SHARED)
def test_complex_parameters_are_torchs_to_the_last_digits(name: str, dtype: torch.dtype, maximize: bool) -> None:
    def number(seed: int) -> Tensor:
        return torch.complex(noise(seed, 2, 3, dtype=torch.float64), noise(seed + 50, 2, 3, dtype=torch.float64)).to(
            dtype
        )

    found = []
    for make in (torchs, ours):
        p = number(0).requires_grad_()
        optimizer = make(name, [p], maximize=maximize, **FLAGS.get(name, {}))
        for step in range(4):
            p.grad = number(step + 1)
            optimizer.step()
        found.append({"p": p.detach(), **{k: v for k, v in optimizer.state[p].items() if v.dim()}})
    tolerance = 1e-4 if dtype == torch.complex64 else 1e-12  # four steps of rounding; centred RMSprop cancels digits
    assert found[0].keys() == found[1].keys()
    for key, theirs in found[0].items():
        torch.testing.assert_close(found[1][key], theirs, rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("name", OWN)
def test_a_complex_parameter_is_a_pair_of_real_ones(name: str) -> None:
    z = torch.complex(noise(0, 4), noise(1, 4)).requires_grad_()
    x = torch.view_as_real(z.detach()).clone().requires_grad_()
    optimizers = [ours(name, [z]), ours(name, [x])]
    for step in range(3):
        z.grad = torch.complex(noise(step, 4), noise(step + 9, 4))
        x.grad = torch.view_as_real(z.grad).clone()
        for optimizer in optimizers:
            optimizer.step()
    # Complex ones go the eager way, real ones through a kernel that rounds products and sums once: ulps of three steps.
    torch.testing.assert_close(torch.view_as_real(z.detach()), x.detach(), rtol=1e-6, atol=1e-6)
