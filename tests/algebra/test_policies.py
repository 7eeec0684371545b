"""A weight-decay policy takes the place of the one that a rule has, wherever that sits."""

# ruff: noqa: ARG001  # rules: the signature says what there is

from __future__ import annotations

import copy
import pickle

import pytest

from zerograd.algebra import Policy, rule, wrapper
from zerograd.rules import (
    adam,
    asgd,
    cautious,
    cautious_decay,
    decoupled,
    ema,
    l2,
    lamb,
    lookahead,
    prodigy,
    schedule_free_adamw,
    sgd,
    stable_adamw,
    torch_decay,
)  # fmt: skip


@pytest.mark.parametrize(
    ("nested", "placed"),
    [
        (decoupled(adam), "cautious_decay(adam)"),
        (ema(decoupled(adam)), "ema(cautious_decay(adam))"),
        (ema(lookahead(torch_decay(cautious(adam)))), "ema(lookahead(cautious_decay(cautious(adam))))"),
        (l2(asgd), "cautious_decay(asgd)"),
        (adam, "cautious_decay(adam)"),
        (ema(sgd), "cautious_decay(ema(sgd))"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_policy_sits_where_the_old_one_sat_or_outermost(nested, placed):
    found = cautious_decay(0.1).placed_in(nested)
    assert found.name == placed
    assert found.moves == nested.moves or placed.startswith("cautious_decay")
    assert "weight_decay" in found.hypers
    assert "decoupled_weight_decay" not in found.hypers, "the old policy's flags went with it"


@pytest.mark.parametrize("nested", [lamb, stable_adamw, schedule_free_adamw, prodigy, ema(lamb)], ids=lambda r: r.name)
def test_a_rule_that_owns_its_decay_takes_no_policy(nested):
    with pytest.raises(TypeError, match=r"does its own weight decay inside its formula .*; give weight_decay a number"):
        decoupled(0.1).placed_in(nested)


def test_a_policy_brings_its_own_hyper_parameters_and_defaults():
    @wrapper
    def late_decay(move, g, p, *, lr, weight_decay=0.0, after=10.0, t):
        return move(g, p * (1 - lr * weight_decay))

    assert late_decay(0.1, after=3.0).placed_in(decoupled(adam)).hypers["after"] == 3.0
    assert late_decay(0.1).placed_in(decoupled(adam)).hypers["after"] == 10.0


def test_the_rest_of_the_rule_keeps_the_defaults_that_it_was_given():
    nested = ema(decoupled(adam, weight_decay=0.5), ema_decay=0.9)
    placed = l2(0.1).placed_in(nested)
    assert placed.name == "ema(l2(adam))"
    assert placed.hypers["ema_decay"] == 0.9


@pytest.mark.parametrize("number", [0.1, 0, 1])
def test_a_wrapper_with_weight_decay_called_with_a_number_is_a_policy(number):
    policy = decoupled(number)
    assert isinstance(policy, Policy)
    assert policy.weight_decay == number
    assert repr(policy) == f"decoupled({number})"


@pytest.mark.parametrize("wrong", [True, "0.1", None, [0.1]], ids=repr)
def test_anything_else_is_no_policy(wrong):
    with pytest.raises(TypeError, match=r"decoupled\(\) wraps a rule or, as a weight-decay policy, a number, not"):
        decoupled(wrong)


def test_a_policy_is_pickled_and_copied_by_the_name_of_its_wrapper():
    policy = cautious_decay(0.1)
    for other in (pickle.loads(pickle.dumps(policy)), copy.deepcopy(policy)):
        assert other.wrapper is cautious_decay
        assert other.weight_decay == 0.1


def test_two_decays_in_one_rule_are_a_clash():
    with pytest.raises(TypeError, match=r"it and the wrapped decoupled\(adam\) both define weight_decay"):
        l2(decoupled(adam))


def test_an_own_wrapper_is_a_policy_if_it_has_a_weight_decay():
    @wrapper
    def quartic(move, g, p, *, weight_decay=0.0):
        return move(g + weight_decay * p * p * p, p)

    @rule
    def plain(g):
        return g

    assert quartic(0.1).placed_in(decoupled(plain)).name == "quartic(plain)"
