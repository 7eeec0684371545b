"""Weight-decay policies in an optimizer: for all groups or for one, with states and hyper-parameters of their own."""

# ruff: noqa: B008  # rules: the signature says how state starts

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import OWN, equal, give_gradients, noise, parameters
from zerograd import rules
from zerograd.algebra import scalar, wrapper
from zerograd.rules import adam, cautious_decay, decoupled, l2, lion

LR, DECAY = 0.1, 0.3


@wrapper
def waning(move, g, p, seen=scalar(0.0), *, lr, weight_decay=0.0, half_life=2.0):
    """A policy with a state and a hyper-parameter: the decay halves again and again."""
    return move(g, p * (1 - lr * weight_decay * 0.5 ** (seen / half_life))), seen + 1


def run(optimizer: Any, params: list[Tensor], steps: int = 3, start: int = 0) -> list[Tensor]:
    for step in range(start, start + steps):
        give_gradients(params, step)
        optimizer.step()
    return [p.detach() for p in params]


def run_together(optimizers: list[Any], params: list[Tensor], steps: int = 3) -> None:
    """Several optimizers that share out the parameters between them."""
    for step in range(steps):
        give_gradients(params, step)
        for optimizer in optimizers:
            optimizer.step()


def straight(rule: Any, **hypers: Any) -> list[Tensor]:
    params = parameters()
    return run(optim.from_rule(rule, name="Straight", lr=LR)(params, **hypers), params)


POLICIES = {
    "l2": (l2(DECAY), l2(adam), {}),
    "decoupled": (decoupled(DECAY), decoupled(adam), {}),
    "cautious": (cautious_decay(DECAY), cautious_decay(adam), {}),
    "an own one": (waning(DECAY), waning(adam), {}),
    "with a hyper-parameter": (waning(DECAY, half_life=1.0), waning(adam), {"half_life": 1.0}),
}


@pytest.mark.parametrize("place", ["constructor", "group"])
@pytest.mark.parametrize("cls", [optim.AdamW, optim.Adam], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_acts_as_the_rule_that_was_written_with_it(name: str, cls: Any, place: str) -> None:
    policy, rule, hypers = POLICIES[name]
    params = parameters()
    if place == "constructor":
        optimizer = cls(params, lr=LR, weight_decay=policy)
    else:
        optimizer = cls([{"params": params, "weight_decay": policy}], lr=LR)
    assert optimizer.param_groups[0]["weight_decay"] == DECAY
    assert equal(run(optimizer, params), straight(rule, weight_decay=DECAY, **hypers))


def test_a_rule_without_decay_takes_a_policy_in_a_group() -> None:
    params = parameters()
    optimizer = optim.Rprop([{"params": params, "weight_decay": decoupled(DECAY)}], lr=LR)
    assert equal(run(optimizer, params), straight(decoupled(rules.rprop), weight_decay=DECAY))


def test_the_number_of_a_group_is_the_groups_whatever_the_policy() -> None:
    params, twins = parameters(), parameters()
    optimizer = optim.AdamW(
        [{"params": params[:1]}, {"params": params[1:], "weight_decay": 0.0}], lr=LR, weight_decay=l2(DECAY)
    )
    apart = [optim.Adam(twins[:1], lr=LR, weight_decay=DECAY), optim.Adam(twins[1:], lr=LR)]
    run(optimizer, params)
    run_together(apart, twins)
    assert equal([p.detach() for p in params], [p.detach() for p in twins])


def test_a_scheduled_decay_is_read_every_step() -> None:
    params, twins = parameters(), parameters()
    optimizer, plain = optim.AdamW(params, lr=LR, weight_decay=l2(DECAY)), optim.Adam(twins, lr=LR, weight_decay=DECAY)
    for number in (0.0, 0.5, 0.1):
        for other, tensors in ((optimizer, params), (plain, twins)):
            other.param_groups[0]["weight_decay"] = number
            run(other, tensors, 1)
    assert equal([p.detach() for p in params], [p.detach() for p in twins])


def test_a_late_group_may_bring_a_policy() -> None:
    params, twins = parameters(), parameters()
    optimizer = optim.Lion(params[:2], lr=LR, weight_decay=DECAY)
    optimizer.add_param_group({"params": params[2:], "weight_decay": cautious_decay(DECAY)})
    apart = [
        optim.Lion(twins[:2], lr=LR, weight_decay=DECAY),
        optim.from_rule(cautious_decay(lion), lr=LR)(twins[2:], weight_decay=DECAY),
    ]
    run(optimizer, params)
    run_together(apart, twins)
    assert equal([p.detach() for p in params], [p.detach() for p in twins])


@pytest.mark.parametrize("name", sorted(set(OWN) - {"Lion", "ADOPT"}))
def test_a_class_whose_rule_owns_its_decay_takes_no_policy_anywhere(name: str) -> None:
    cls = getattr(optim, name)
    for make in (
        lambda: cls(parameters(), weight_decay=l2(0.1)),
        lambda: cls([{"params": parameters(), "weight_decay": l2(0.1)}]),
        lambda: cls(parameters()).add_param_group({"params": [noise(9, 2).requires_grad_()], "weight_decay": l2(0.1)}),
    ):
        with pytest.raises(TypeError, match="does its own weight decay inside its formula"):
            make()


@pytest.mark.parametrize(
    ("policy", "message"), [(l2(-0.1), "Invalid weight_decay value: -0.1"), (l2(float("nan")), "Invalid weight_decay")]
)
def test_the_number_of_a_policy_is_checked(policy: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optim.AdamW(parameters(), weight_decay=policy)
    with pytest.raises(ValueError, match=message):
        optim.AdamW([{"params": parameters(), "weight_decay": policy}])


def test_a_policy_with_an_unknown_hyper_parameter_is_refused() -> None:
    with pytest.raises(optim.RuleError, match=r"wrapper 'waning', .*half_lives is no hyper-parameter"):
        optim.AdamW(parameters(), weight_decay=waning(0.1, half_lives=3))


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
def test_policies_go_with_a_copy(duplicate: Any) -> None:
    params = parameters()
    optimizer = optim.AdamW(
        [{"params": params[:1], "weight_decay": waning(DECAY, half_life=1.0)}, {"params": params[1:]}],
        lr=LR, weight_decay=cautious_decay(DECAY),
    )  # fmt: skip
    run(optimizer, params)
    twin, twins = duplicate((optimizer, params))
    assert equal(run(optimizer, params, 2, 3), run(twin, twins, 2, 3))


def test_a_checkpoint_holds_the_policys_state_and_not_the_policy() -> None:
    params = parameters()
    optimizer = optim.AdamW(params, lr=LR, weight_decay=waning(DECAY))
    run(optimizer, params)
    saved = optimizer.state_dict()
    assert float(saved["state"][0]["seen"]) == 3
    assert saved["param_groups"][0]["weight_decay"] == DECAY
    twins = [p.detach().clone().requires_grad_() for p in params]
    twin = optim.AdamW(twins, lr=LR, weight_decay=waning(DECAY))
    twin.load_state_dict(copy.deepcopy(saved))
    assert equal(run(optimizer, params, 2, 3), run(twin, twins, 2, 3))


def test_one_policy_object_prints_one_program() -> None:
    policy, params = cautious_decay(DECAY), parameters()
    optimizer = optim.AdamW([{"params": [p], "weight_decay": policy} for p in params])
    run(optimizer, params)
    assert len({id(optimizer._programs(group)) for group in optimizer.param_groups}) == 1
    assert optimizer._programs(optimizer.param_groups[0]).compiled == 1
    assert not torch.equal(params[0], parameters()[0])
