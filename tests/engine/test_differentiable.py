"""``differentiable=True``: autograd goes through the step, to the parameters before it, the gradient and the rates.

Finite differences are the reference (torch.autograd.gradcheck, float64), torch's own where it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import OWN, SHARED, noise, ours, torchs
from zerograd.algebra import norm, rule, scalar, total, where

pytestmark = pytest.mark.usefixtures("double")

NO_RATE = {"Rprop", "ASGD", "ScheduleFreeAdamW"}
"""Classes that carry lr from step to step in a state: what starts from lr is detached, as in torch, and scalar states
are plain numbers."""

TORCH_TAKES_A_TENSOR_RATE = {"SGD", "Adam", "AdamW", "RAdam"}
FLAGS: dict[str, dict[str, Any]] = {
    "SGD": {"weight_decay": 0.1},
    "Adam": {"weight_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "weight_decay": 0.1},
    "Prodigy": {"d0": 0.5},
}


def after(
    make: Callable[..., Any], name: str, start: Tensor, slope: Tensor, lr: Any, steps: int, **flags: Any
) -> Tensor:
    """Where a parameter is after steps whose gradients hang on the parameter before them."""
    p = start.clone()
    optimizer = make(name, [p], lr=lr, differentiable=True, **flags)
    for step in range(steps):
        p.grad = slope * (step + 1) + (start if step == 0 else 0.3 * start)
        optimizer.step()
    return p


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    def function(start: Tensor, slope: Tensor, lr: Tensor) -> Tensor:
        return after(ours, name, start, slope, lr, 2, **FLAGS.get(name, {}))

    start, slope = noise(0, 3, dtype=torch.float64), 2 + noise(1, 3, dtype=torch.float64).abs()
    lr = torch.tensor(0.1)
    inputs = [start.requires_grad_(), slope.requires_grad_(), lr.requires_grad_(name not in NO_RATE)]
    assert torch.autograd.gradcheck(function, inputs, eps=1e-6, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(SHARED) & TORCH_TAKES_A_TENSOR_RATE))
def test_gradients_with_respect_to_start_and_rate_are_torchs(name: str) -> None:
    found = []
    for make in (torchs, ours):
        start, lr = noise(0, 3, dtype=torch.float64).requires_grad_(), torch.tensor(0.1, requires_grad=True)
        steps = 1 if name == "AdamW" else 2  # torch's second step of AdamW overwrites what backward needs
        p = after(make, name, start, noise(1, 3, dtype=torch.float64), lr, steps, **FLAGS.get(name, {}))
        found.append(torch.autograd.grad((p**2).sum(), [start, lr]))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_values_are_those_of_the_plain_step(name: str, maximize: bool) -> None:
    start, slope = noise(0, 3, dtype=torch.float64), noise(1, 3, dtype=torch.float64)
    through = after(ours, name, start, slope, 0.1, 3, maximize=maximize, **FLAGS.get(name, {}))
    p = start.clone()
    optimizer = ours(name, [p], lr=0.1, maximize=maximize, **FLAGS.get(name, {}))
    for step in range(3):
        p.grad = slope * (step + 1) + (start if step == 0 else 0.3 * start)
        optimizer.step()
    torch.testing.assert_close(through, p, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_state_keeps_dtype_and_shape(name: str) -> None:
    p = noise(0, 3, dtype=torch.float32).requires_grad_().clone()
    optimizer = ours(name, [p], differentiable=True)
    for step in range(2):
        p.grad = noise(step, 3, dtype=torch.float32)
        optimizer.step()
    for key in optimizer.rule.states.keys() & optimizer.state[p].keys():
        value = optimizer.state[p][key]
        if value.dim():
            assert (value.dtype, value.shape) == (torch.float32, (3,)), key


def test_a_state_that_becomes_a_truth_value_keeps_its_dtype() -> None:
    p = noise(0, 3).requires_grad_().clone()
    optimizer: Any = optim.from_rule(lambda g, m: (g * m, g > 0), name="Truth", lr=0.1)([p], differentiable=True)
    for step in range(2):
        p.grad = noise(step, 3)
        optimizer.step()
        assert optimizer.state[p]["m"].dtype == p.dtype


def test_a_rate_of_one_element_works_on_a_number() -> None:
    p = torch.ones(()).requires_grad_().clone()
    optimizer = optim.Adam([p], lr=torch.tensor([0.5]), differentiable=True)
    p.grad = torch.ones(())
    optimizer.step()
    assert p.shape == ()
    assert p.item() == pytest.approx(0.5)


def test_reductions_and_choices_of_the_host_can_be_differentiated() -> None:
    @rule
    def resting(g, n=scalar(0.0), *, t):  # noqa: ARG001, B008
        u = where(t == 1, 0, g)
        return g * total(u) + norm(g), norm(u, per="group")

    def function(start: Tensor) -> Tensor:
        p = start.clone()
        optimizer: Any = optim.from_rule(resting, lr=0.1)([p], differentiable=True)
        for _ in range(2):
            p.grad = start * start
            optimizer.step()
        return p

    assert torch.autograd.gradcheck(function, [noise(0, 3, dtype=torch.float64).requires_grad_()])


def test_a_leaf_can_not_be_stepped_through_as_in_torch() -> None:
    for module in (torch.optim, optim):
        p = torch.ones(3, requires_grad=True)
        p.grad = torch.ones(3)
        with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
            module.SGD([p], lr=0.1, differentiable=True).step()


def test_gradients_are_recorded_only_during_the_step() -> None:
    p = torch.ones(3, requires_grad=True).clone()
    optimizer = optim.SGD([p], lr=0.1, differentiable=True)
    p.grad = torch.ones(3)
    with torch.no_grad():
        optimizer.step()
        assert not torch.is_grad_enabled()
    assert p.requires_grad
    assert torch.is_grad_enabled()
