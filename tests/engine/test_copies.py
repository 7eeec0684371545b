"""Copies and pickles of optimizers are of the very class that they were made from."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import equal, give_gradients, parameters, snapshot
from zerograd import rules
from zerograd.algebra import rule


@rule
def halving(g):
    return g / 2


def plain(g, m, *, decay=0.5):
    m = decay * m + g
    return m, m


Halving = optim.from_rule(halving, lr=0.1)
Other = optim.from_rule(halving, name="NotOther", lr=0.1)
FromFunction = optim.from_rule(plain, name="Plain", lr=0.1)


class Subclass(optim.AdamW):
    def __init__(self, params: Any, extra: int = 3) -> None:
        super().__init__(params, lr=0.5)
        self.extra = extra


class OfOther(Other):
    pass


CLASSES = [optim.AdamW, optim.ScheduleFreeAdamW, Halving, Other, FromFunction, Subclass, OfOther]


def stepped(cls: Any) -> Any:
    params = parameters()
    optimizer = cls(params)
    give_gradients(params, 0)
    optimizer.step()
    return optimizer


def pickled(optimizer: Any) -> Any:
    return pickle.loads(pickle.dumps(optimizer))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, pickled], ids=["deepcopy", "copy", "pickle"])
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_class_stays_the_class(cls: Any, duplicate: Any) -> None:
    optimizer = stepped(cls)
    twin = duplicate(optimizer)
    assert type(twin) is cls
    assert equal(snapshot(twin), snapshot(optimizer))
    assert twin.defaults == optimizer.defaults


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy], ids=["deepcopy", "copy"])
def test_a_copy_needs_no_name(duplicate: Any) -> None:
    nowhere = optim.from_rule(lambda g, m: (g, m + g), name="Nowhere", lr=0.1)
    assert type(duplicate(stepped(nowhere))) is nowhere


def test_a_class_that_no_module_holds_is_made_again_from_its_rule() -> None:
    nowhere = optim.from_rule(rules.ema(rules.decoupled(rules.adam)), name="Nowhere", lr=0.1, ema_decay=0.5)
    optimizer = stepped(nowhere)
    twin = pickled(optimizer)
    assert type(twin).__name__ == "Nowhere"
    assert type(twin).rule.name == "ema(decoupled(adam))"
    assert twin.defaults == optimizer.defaults
    twin.eval()
    params = twin.param_groups[0]["params"]
    assert torch.equal(params[0], twin.state[params[0]]["average"])


def test_a_lambda_is_told_to_be_given_a_name() -> None:
    nowhere = optim.from_rule(lambda g: g, name="Nowhere", lr=0.1)
    with pytest.raises(
        pickle.PicklingError, match="a lambda or a local function has none; define it with def at the top"
    ):
        pickle.dumps(stepped(nowhere))


def test_a_deep_copy_shares_nothing() -> None:
    optimizer = stepped(optim.NAdam)
    before = snapshot(optimizer)
    twin = copy.deepcopy(optimizer)
    params = twin.param_groups[0]["params"]
    for step in range(2):
        give_gradients(params, step)
        twin.step()
    twin.param_groups[0]["lr"] = 7.0
    assert equal(before, snapshot(optimizer))
    assert optimizer.param_groups[0]["lr"] == 2e-3


def test_hooks_are_not_copied_with_an_optimizer_as_in_torch() -> None:
    for module in (torch.optim, optim):
        params = parameters()
        optimizer = module.AdamW(params)
        seen: list[int] = []
        optimizer.register_step_post_hook(lambda *_, seen=seen: seen.append(1))
        twin = copy.deepcopy(optimizer)
        twin.step()
        assert seen == []
