"""A step moves what has a gradient, counts for itself, and changes nothing when it refuses."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import nn

import zerograd as optim
from engine.common import OWN, SHARED, equal, give_gradients, noise, ours, parameters, snapshot


def test_step_counts_are_per_parameter() -> None:
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    params[1].grad = None
    optimizer.step()
    give_gradients(params, 1)
    optimizer.step()
    assert [float(optimizer.state[p]["step"]) for p in params] == [2.0, 1.0, 2.0]


def test_the_state_of_sgd_is_its_buffer_only() -> None:
    params = parameters()
    plain, heavy = optim.SGD(params, lr=0.1), optim.SGD(params, lr=0.1, momentum=0.9)
    for optimizer in (plain, heavy):
        give_gradients(params, 0)
        optimizer.step()
    assert all(not plain.state[p] for p in params)
    assert all(set(heavy.state[p]) == {"momentum_buffer"} for p in params)


def test_momentum_that_goes_and_comes_keeps_its_buffer_as_torch_does() -> None:
    runs = []
    for module in (torch.optim, optim):
        params = parameters()
        optimizer = module.SGD(params, lr=0.1, dampening=0.3)
        for step, momentum in enumerate([0.0, 0.9, 0.9, 0.0, 0.0, 0.9]):
            optimizer.param_groups[0]["momentum"] = momentum
            give_gradients(params, step)
            optimizer.step()
        runs.append([p.detach() for p in params])
    assert all(torch.allclose(x, y, rtol=1e-6) for x, y in zip(*runs, strict=True))


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_a_new_learning_rate_compiles_nothing(name: str) -> None:
    params = parameters()
    optimizer = ours(name, params)
    give_gradients(params, 0)
    optimizer.step()
    compiled = optimizer.class_programs.compiled
    for step in range(1, 4):
        optimizer.param_groups[0]["lr"] *= 0.5
        give_gradients(params, step)
        optimizer.step()
    assert optimizer.class_programs.compiled == compiled > 0


@pytest.mark.parametrize("name", [n for n in [*SHARED, *OWN] if n not in ("SGD", "Adagrad")])
def test_a_refused_step_changes_nothing(name: str) -> None:
    params = [noise(0, 4, 2).requires_grad_(), noise(1, 4, 2).requires_grad_()]
    optimizer = ours(name, params)
    give_gradients(params, 0)
    optimizer.step()
    before = snapshot(optimizer)
    give_gradients(params, 1)
    params[1].grad = noise(5, 4, 2).to_sparse(1)
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        optimizer.step()
    assert equal(before, snapshot(optimizer))


def test_prodigy_refuses_groups_with_different_rates_before_it_changes_anything() -> None:
    params = parameters()
    optimizer = optim.Prodigy([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}])
    give_gradients(params, 0)
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match="lr must be the same in every parameter group"):
        optimizer.step()
    assert equal(before, snapshot(optimizer))


def test_a_closure_runs_once_with_gradients_and_its_loss_is_returned() -> None:
    model = nn.Linear(3, 1)
    optimizer = optim.AdamW(model.parameters())
    calls = []

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(noise(0, 5, 3)).square().mean()
        loss.backward()
        calls.append(loss)
        return loss

    with torch.no_grad():
        assert optimizer.step(closure) is calls[0]
    assert len(calls) == 1
    assert float(optimizer.state[model.weight]["step"]) == 1


def test_hooks_fire_once_each_in_order() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

    class Child(optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    seen: list[str] = []
    params = parameters()
    give_gradients(params, 0)
    optimizer = optim.AdamW(params)
    handles = [
        register_optimizer_step_pre_hook(lambda *_: seen.append("global pre")),
        register_optimizer_step_post_hook(lambda *_: seen.append("global post")),
    ]
    optimizer.register_step_pre_hook(lambda *_: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *_: seen.append("post"))
    optimizer.step()
    for handle in handles:
        handle.remove()
    assert seen == ["global pre", "pre", "post", "global post"]
    assert getattr(Child.step, "hooked", False)


def test_the_profiler_sees_the_step() -> None:
    params = parameters()
    give_gradients(params, 0)
    optimizer = optim.AdamW(params)
    with torch.profiler.profile() as profile:
        optimizer.step()
    assert any(event.key == "Optimizer.step#AdamW.step" for event in profile.key_averages())


def test_a_scheduler_drives_the_step() -> None:
    runs = []
    for module in (torch.optim, optim):
        params = parameters()
        optimizer = module.SGD(params, lr=0.1)
        scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.2, total_steps=6, cycle_momentum=False)
        for step in range(5):
            give_gradients(params, step)
            optimizer.step()
            scheduler.step()
        runs.append([p.detach() for p in params])
    assert equal(*runs)


def test_zero_grad_forgets_or_fills_with_zeros() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    give_gradients(params, 0)
    held = params[0].grad
    optimizer.zero_grad(set_to_none=False)
    assert params[0].grad is held
    assert all(not p.grad.any() for p in params)
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)
    optimizer.zero_grad(set_to_none=False)


def test_zero_grad_cuts_a_gradient_off_its_history() -> None:
    p = noise(0, 3).requires_grad_()
    (p.grad,) = torch.autograd.grad((p**3).sum(), p, create_graph=True)
    assert p.grad.grad_fn is not None
    optim.SGD([p], lr=0.1).zero_grad(set_to_none=False)
    assert p.grad.grad_fn is None
    assert not p.grad.any()


def test_hand_written_state_is_taken_over() -> None:
    params = parameters()
    optimizer = optim.Adam(params)
    for step in range(2):
        give_gradients(params, step)
        optimizer.step()
    optimizer.state[params[0]]["step"].fill_(10.0)
    optimizer.state[params[1]]["step"] = torch.tensor(20.0)
    optimizer.state[params[2]]["exp_avg"].zero_()
    give_gradients(params, 2)
    optimizer.step()
    assert [float(optimizer.state[p]["step"]) for p in params] == [11.0, 21.0, 3.0]
    optimizer.state = defaultdict(dict)
    give_gradients(params, 3)
    optimizer.step()
    assert [float(optimizer.state[p]["step"]) for p in params] == [1.0, 1.0, 1.0]


def test_parameters_may_be_exchanged_in_a_group() -> None:
    params = parameters()
    optimizer = optim.Adam(params)
    give_gradients(params, 0)
    optimizer.step()
    new = [p.detach().clone().requires_grad_() for p in params]
    optimizer.param_groups[0]["params"] = new
    give_gradients(new, 1)
    kept = [p.detach().clone() for p in params]
    optimizer.step()
    assert equal(kept, [p.detach() for p in params])
    assert float(optimizer.state[new[0]]["step"]) == 1


def test_a_step_bumps_the_version_of_what_it_wrote() -> None:
    p = noise(0, 3).requires_grad_()
    y = (p * p).sum()
    p.grad = noise(1, 3)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
