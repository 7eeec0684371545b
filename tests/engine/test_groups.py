"""Groups, policies of weight decay, and evaluation weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import equal, give_gradients, noise, parameters
from oracles import evaluation_point
from zerograd import rules


def after(optimizer: Any, params: list[Tensor], steps: int = 3) -> list[Tensor]:
    for step in range(steps):
        give_gradients(params, step)
        optimizer.step()
    return [p.detach() for p in params]


def test_groups_have_hyper_parameters_and_flags_of_their_own() -> None:
    runs = []
    for module in (torch.optim, optim):
        params = parameters()
        groups = [{"params": params[:1], "lr": 0.5, "momentum": 0.9, "nesterov": True}, {"params": params[1:]}]
        runs.append(after(module.SGD(groups, lr=0.1), params))
    assert all(torch.allclose(x, y, rtol=1e-6) for x, y in zip(*runs, strict=True))


def test_a_group_may_be_added_at_any_time() -> None:
    runs = []
    for module in (torch.optim, optim):
        params = parameters()
        optimizer = module.Adam(params[:1])
        after(optimizer, params[:1])
        group = {"params": params[1:], "lr": 0.5}
        optimizer.add_param_group(group)
        assert optimizer.param_groups[1] is group
        runs.append(after(optimizer, params))
    assert all(torch.allclose(x, y, rtol=1e-6) for x, y in zip(*runs, strict=True))


@pytest.mark.parametrize(
    ("group", "error"),
    [({"lr": -1.0}, ValueError), ({"betas": (2.0, 0.9)}, ValueError), ({"eps": "small"}, TypeError)],
    ids=str,
)
def test_a_bad_group_is_refused_and_not_added(group: dict[str, Any], error: type[Exception]) -> None:
    params = parameters()
    optimizer = optim.Adam(params[:1])
    with pytest.raises(error):
        optimizer.add_param_group({"params": params[1:], **group})
    assert len(optimizer.param_groups) == 1


def test_a_parameter_in_two_groups_is_refused() -> None:
    params = parameters()
    optimizer = optim.Adam(params)
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": params[:1]})


def test_a_policy_replaces_the_policy_where_it_sits() -> None:
    policy = optim.cautious_decay(0.1)
    assert policy.placed_in(rules.ema(rules.decoupled(rules.adam))).name == "ema(cautious_decay(adam))"
    assert policy.placed_in(rules.lion).name == "cautious_decay(lion)"
    for owner in (rules.lamb, rules.prodigy, rules.stable_adamw, rules.schedule_free_adamw):
        with pytest.raises(TypeError, match="does its own weight decay"):
            policy.placed_in(owner)


def test_a_policy_may_belong_to_a_group() -> None:
    params, twins = parameters(), parameters()
    mixed = optim.AdamW(
        [{"params": params[:1], "weight_decay": optim.l2(0.2)}, {"params": params[1:]}], lr=0.1, weight_decay=0.3
    )
    assert [group["weight_decay"] for group in mixed.param_groups] == [0.2, 0.3]
    apart = [optim.Adam(twins[:1], lr=0.1, weight_decay=0.2), optim.AdamW(twins[1:], lr=0.1, weight_decay=0.3)]
    after(mixed, params)
    for step in range(3):
        give_gradients(twins, step)
        for optimizer in apart:
            optimizer.step()
    assert equal([p.detach() for p in params], [p.detach() for p in twins])
    assert all(isinstance(group["weight_decay"], float) for group in mixed.state_dict()["param_groups"])
    assert not any("decay_policy" in group for group in mixed.state_dict()["param_groups"])


def test_a_policy_outlives_the_loading_of_a_checkpoint() -> None:
    params, twins = parameters(), parameters()
    optimizer = optim.AdamW([{"params": params, "weight_decay": optim.l2(0.2)}], lr=0.1)
    optimizer.load_state_dict(torch.optim.AdamW(parameters(), lr=0.1, weight_decay=0.2).state_dict())
    assert equal(after(optimizer, params), after(optim.Adam(twins, lr=0.1, weight_decay=0.2), twins))


Averaged = optim.from_rule(rules.ema(rules.adam), lr=0.1, ema_decay=0.5)


@pytest.mark.parametrize("cls", [Averaged, optim.ScheduleFreeAdamW], ids=["ema", "schedule-free"])
def test_evaluation_weights_come_and_go_bit_for_bit(cls: Any) -> None:
    params = parameters()
    optimizer = cls(params)
    after(optimizer, params)
    training = [p.detach().clone() for p in params]
    optimizer.eval()
    optimizer.eval()
    assert not any(torch.equal(p, q) for p, q in zip(params, training, strict=True))
    with pytest.raises(RuntimeError, match="in evaluation mode"):
        optimizer.step()
    optimizer.train()
    assert equal([p.detach() for p in params], training)
    assert "training_weights" not in optimizer.state[params[0]]


def test_the_average_is_the_papers() -> None:
    p = torch.tensor([1.0], requires_grad=True)
    optimizer = optim.from_rule(rules.ema(rules.sgd), lr=1.0, ema_decay=0.75)([p])
    p.grad = torch.tensor([1.0])
    optimizer.step()  # p: 1 -> 0; average: 0.75 * 1 + 0.25 * 0
    optimizer.eval()
    assert p.item() == 0.75


def test_schedule_free_evaluates_at_the_papers_point() -> None:
    params = parameters()
    optimizer = optim.ScheduleFreeAdamW(params, lr=0.1)
    after(optimizer, params)
    expected = [
        evaluation_point(p.detach().double(), optimizer.state[p]["z"].double(), optimizer.param_groups[0]["betas"][0])
        for p in params
    ]
    optimizer.eval()
    # Computed in float32: a few units in its last place.
    assert all(torch.allclose(p.double(), x, rtol=1e-6) for p, x in zip(params, expected, strict=True))


def test_first_is_asked_of_each_rules_own_states() -> None:
    """Under an average, momentum may come later: its first step is undampened though the average is there already."""
    params, twins = parameters(), parameters()
    averaged = optim.from_rule(rules.ema(rules.sgd), lr=0.1, dampening=0.3)(params)
    plain = torch.optim.SGD(twins, lr=0.1, dampening=0.3)
    for step, momentum in enumerate([0.0, 0.9, 0.9]):
        for optimizer, own in ((averaged, params), (plain, twins)):
            optimizer.param_groups[0]["momentum"] = momentum
            give_gradients(own, step)
            optimizer.step()
    assert all(torch.allclose(p, q, rtol=1e-6) for p, q in zip(params, twins, strict=True))


def test_a_checkpoint_of_evaluation_mode_goes_on_with_training() -> None:
    params, twins = parameters(), parameters()
    optimizer, straight = Averaged(params), Averaged(twins)
    after(optimizer, params)
    after(straight, twins)
    optimizer.eval()
    resumed_params = [p.detach().clone().requires_grad_() for p in params]
    resumed = Averaged(resumed_params)
    resumed.load_state_dict(optimizer.state_dict())
    with pytest.raises(RuntimeError, match="in evaluation mode"):
        resumed.step()
    resumed.train()
    assert equal(after(resumed, resumed_params), after(straight, twins))


def test_without_a_view_the_modes_change_nothing() -> None:
    params = parameters()
    optimizer = optim.AdamW(params)
    after(optimizer, params)
    kept = [p.detach().clone() for p in params]
    optimizer.eval()
    optimizer.step()
    optimizer.train()
    assert not equal(kept, [p.detach() for p in params])


def test_parameters_that_never_stepped_keep_their_weights_in_evaluation() -> None:
    moved, still = noise(0, 3).requires_grad_(), noise(1, 3).requires_grad_()
    optimizer = Averaged([moved, still])
    moved.grad = noise(2, 3)
    optimizer.step()
    optimizer.eval()
    assert torch.equal(still, noise(1, 3))


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Lion", "Muon", "Adafactor"])
@pytest.mark.parametrize(
    ("key", "value"), [("lr", "0.1"), ("lr", None), ("weight_decay", "a"), ("lr", torch.tensor([0.1, 0.2]))]
)
@pytest.mark.parametrize("steps", [0, 2], ids=["before the first step", "later"])
def test_what_is_no_number_in_a_group_is_named(name: str, key: str, value: Any, steps: int) -> None:
    p = torch.ones(2, 2).requires_grad_()
    optimizer = getattr(optim, name)([p])
    for _ in range(steps):
        p.grad = torch.ones(2, 2)
        optimizer.step()
    p.grad, before = torch.ones(2, 2), p.detach().clone()
    optimizer.param_groups[0][key] = value
    with pytest.raises((TypeError, ValueError), match=key):
        optimizer.step()
    assert torch.equal(p, before)
