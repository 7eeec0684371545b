"""``zero_grad`` does to every kind of gradient what torch's does, in both forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import noise


def with_history(p: Tensor) -> Tensor:
    (g,) = torch.autograd.grad((p**3).sum(), p, create_graph=True)
    return g


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda p: torch.ones_like(p),
    "with a history": with_history,
    "that asks for gradients": lambda p: torch.ones_like(p).requires_grad_(),
    "sparse": lambda p: torch.ones_like(p).detach().to_sparse(),
    "transposed": lambda p: torch.ones(p.shape[::-1]).t(),
    "on the meta device": lambda p: torch.ones_like(p),
}


def cleared(module: Any, kind: str, set_to_none: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """(the parameter, its gradient, what is there after zero_grad)"""
    device = "meta" if "meta" in kind else "cpu"
    p = noise(0, 2, 3).to(device).requires_grad_()
    p.grad = KINDS[kind](p)
    held = p.grad
    other = noise(1, 4).double().requires_grad_()
    other.grad = torch.ones(4, dtype=torch.float64)
    module.SGD([{"params": [p]}, {"params": [other, noise(2, 1).requires_grad_()]}], lr=0.1).zero_grad(set_to_none)
    assert (other.grad is None) == set_to_none
    assert other.grad is None or not other.grad.any()
    return p, held, p.grad


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_become_none(kind: str) -> None:
    _, held, after = cleared(optim, kind, True)
    assert after is None
    if held.device.type == "cpu":
        assert held.to_dense().any(), "who kept the gradient still has it"


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_become_zero_in_place_as_in_torch(kind: str) -> None:
    _, theirs, _ = cleared(torch.optim, kind, False)
    _, held, after = cleared(optim, kind, False)
    assert after is held
    assert (held.grad_fn, held.requires_grad, held.layout) == (theirs.grad_fn, theirs.requires_grad, theirs.layout)
    if held.device.type == "cpu":
        assert not held.to_dense().any()


def test_set_to_none_is_the_default_and_may_be_positional() -> None:
    p = noise(0, 3).requires_grad_()
    p.grad = torch.ones(3)
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.zero_grad(False)
    assert p.grad is not None
    optimizer.zero_grad()
    assert p.grad is None
