"""Steps inside backward: one optimizer for each parameter, stepped by a hook as soon as its gradient is whole."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd as optim
from engine.common import OWN, SHARED, noise, ours, torchs


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def loss_of(net: nn.Module, step: int) -> Tensor:
    return net(noise(step, 5, 3)).square().mean()  # type: ignore[no-any-return]


def trained_in_backward(make: Any, name: str) -> tuple[list[Tensor], int]:
    """Parameters after four steps, and how many hooks ran."""
    net = model()
    optimizers = {p: make(name, [p]) for p in net.parameters()}
    ran = 0

    def step(p: Tensor) -> None:
        nonlocal ran
        ran += 1
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in net.parameters():
        p.register_post_accumulate_grad_hook(step)
    for i in range(4):
        loss_of(net, i).backward()
        assert all(p.grad is None for p in net.parameters())
    return [p.detach() for p in net.parameters()], ran


def trained_after_backward(name: str) -> list[Tensor]:
    net = model()
    optimizers = [ours(name, [p]) for p in net.parameters()]
    for i in range(4):
        loss_of(net, i).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    return [p.detach() for p in net.parameters()]


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_a_step_in_a_hook_is_the_step_after_backward(name: str) -> None:
    hooked, ran = trained_in_backward(ours, name)
    assert ran == 16
    # The same gradients reach the same code: a layer's own backward is over when its parameter's hook runs.
    torch.testing.assert_close(hooked, trained_after_backward(name), rtol=0, atol=0)


@pytest.mark.parametrize("name", SHARED)
def test_a_step_in_a_hook_is_torchs(name: str) -> None:
    mine, theirs = (trained_in_backward(make, name)[0] for make in (ours, torchs))
    # Four steps in float32: some last bits.
    torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


def test_hooks_of_the_step_fire_inside_backward() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.AdamW([p], lr=0.1)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    p.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    p.square().sum().backward()
    assert seen == ["pre", "post"]


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_gradients_are_not_recorded_by_a_step_in_backward() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.AdamW([p], lr=0.1)
    p.register_post_accumulate_grad_hook(lambda _: optimizer.step())
    p.pow(3).sum().backward(create_graph=True)
    assert p.is_leaf
    assert all(not v.requires_grad for v in optimizer.state[p].values())
