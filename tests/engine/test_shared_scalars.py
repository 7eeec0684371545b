"""Scalar states: one number per tensor is kept in the state, one per group or in all in the groups."""

# ruff: noqa: ARG001, B008  # rules: the signature says what there is, and how state starts

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import give_gradients, noise, parameters
from zerograd.algebra import maximum, norm, rule, scalar, total


@rule
def counting(
    g, p, per_tensor=scalar("start_at"), per_group=scalar("start_at", per="group"), per_all=scalar(0.0, per="all"),
    largest=scalar(0.0, per="all"), *, lr, start_at=10.0,
):  # fmt: skip
    """Counts steps on each level, and keeps the largest norm that it saw."""
    seen = norm(g, per="all")
    return p - lr * g, per_tensor + 1, per_group + 1, per_all + 1, maximum(seen, largest)


Counting = optim.from_rule(counting, name="Counting", lr=0.1)


def give(params: list[Tensor], value: float) -> None:
    for p in params:
        p.grad = torch.full_like(p, value)


def counts(optimizer: Any) -> list[tuple[float, float]]:
    return [(group["per_group"], group["per_all"]) for group in optimizer.param_groups]


def test_each_level_counts_for_itself() -> None:
    a, b, c = params = parameters()
    optimizer = Counting([{"params": [a, b]}, {"params": [c], "start_at": 20.0}])
    give(params, 1.0)
    b.grad = None
    optimizer.step()
    give(params, 1.0)
    optimizer.step()
    assert [float(optimizer.state[p]["per_tensor"]) for p in params] == [12, 11, 22]
    assert counts(optimizer) == [(12, 2), (22, 2)]


def test_a_group_without_gradients_does_not_count_but_shares_what_is_one_in_all() -> None:
    a, b, _ = params = parameters()
    optimizer = Counting([{"params": [a]}, {"params": [b]}])
    for step in range(3):
        give(params, 1.0)
        if step:
            b.grad = None
        optimizer.step()
    assert counts(optimizer) == [(13, 3), (11, 3)]


def test_a_group_that_is_added_later_joins_in_what_is_one_in_all() -> None:
    a, b, _ = params = parameters()
    optimizer = Counting([a])
    for _ in range(4):
        give(params, 2.0)
        optimizer.step()
    optimizer.add_param_group({"params": [b]})
    give(params, 1e-3)
    optimizer.step()
    assert counts(optimizer) == [(15, 5), (11, 5)]
    assert [group["largest"] for group in optimizer.param_groups] == pytest.approx([2.0 * a.numel() ** 0.5] * 2)


def test_prodigy_keeps_its_estimate_when_a_group_joins() -> None:
    a, b, _ = params = parameters(torch.float64)
    optimizer = optim.Prodigy([a], d0=0.01)
    for step in range(6):
        give_gradients(params, step)
        a.grad = a.detach().clone()
        optimizer.step()
    grown = optimizer.param_groups[0]["d"]
    assert grown > 0.01
    optimizer.add_param_group({"params": [b]})
    b.grad = noise(1, 4, dtype=torch.float64)
    optimizer.step()
    first, second = optimizer.param_groups
    assert first["d"] == second["d"] >= grown
    assert first["k"] == second["k"] == 7


def test_what_a_state_that_is_one_in_all_starts_with_must_be_equal() -> None:
    def starting(g, d=scalar("start_at", per="all"), *, start_at=1.0):
        return g * d, d * 2

    a, b, _ = params = parameters()
    optimizer = optim.from_rule(starting, lr=0.1)([{"params": [a]}, {"params": [b], "start_at": 2.0}])
    give(params, 1.0)
    before = a.detach().clone()
    with pytest.raises(ValueError, match="Starting: start_at must be the same in every parameter group"):
        optimizer.step()
    assert torch.equal(a, before)
    assert not optimizer.state


@pytest.mark.parametrize(
    "second",
    [{"lr": 1}, {"lr": torch.tensor(1.0)}, {"betas": [0.9, 0.999]}, {"weight_decay": 0}, {"beta3": None}],
    ids=str,
)
def test_equal_numbers_are_equal_however_they_are_written(second: dict[str, Any]) -> None:
    a, b, _ = params = parameters()
    optimizer = optim.Prodigy([{"params": [a]}, {"params": [b], **second}], lr=1.0)
    give_gradients(params, 0)
    optimizer.step()
    assert not torch.equal(b, parameters()[1])


def test_decay_may_differ_between_groups_under_one_estimate() -> None:
    """What is done to g and p before the rule sees them is not the estimate's own."""
    estimating = optim.from_rule(
        optim.l2(rule(lambda g, d=scalar(1.0, per="all"): (g * d, total(g, per="all")))), name="Estimating", lr=0.1
    )
    a, b, _ = params = parameters()
    optimizer = estimating([{"params": [a]}, {"params": [b], "weight_decay": 0.5}])
    seen = a.numel() + b.numel() + 0.5 * b.sum().item()
    give(params, 1.0)
    optimizer.step()
    assert [group["d"] for group in optimizer.param_groups] == [pytest.approx(seen)] * 2


def test_flags_that_change_a_reduction_over_all_must_be_equal() -> None:
    def flagged(g, d=scalar(1.0, per="all"), *, sized=False):
        return g * d, norm(g, per="all") if sized else total(g, per="all")

    a, b, _ = params = parameters()
    optimizer = optim.from_rule(flagged, name="Flagged", lr=0.1)([{"params": [a]}, {"params": [b], "sized": True}])
    give(params, 1.0)
    with pytest.raises(ValueError, match=r"Flagged: (.* one reduction runs over all|sized must be the same)"):
        optimizer.step()


@pytest.mark.parametrize("cls", [optim.Prodigy, optim.ScheduleFreeAdamW, Counting], ids=lambda cls: cls.__name__)
def test_a_checkpoint_from_before_the_first_step_starts_anew(cls: Any) -> None:
    params, twins = parameters(torch.float64), parameters(torch.float64)
    optimizer, fresh = cls(params), cls(twins)
    first = copy.deepcopy(optimizer.state_dict())
    weights = [p.detach().clone() for p in params]
    for step in range(4):
        give_gradients(params, step)
        optimizer.step()
    optimizer.load_state_dict(first)
    for p, weight in zip(params, weights, strict=True):
        p.data.copy_(weight)
    for step in range(4):
        give_gradients(params, step)
        give_gradients(twins, step)
        optimizer.step()
        fresh.step()
    assert all(torch.equal(p, q) for p, q in zip(params, twins, strict=True))
    assert optimizer.state_dict()["param_groups"] == fresh.state_dict()["param_groups"]


@pytest.mark.parametrize("cls", [optim.Prodigy, optim.ScheduleFreeAdamW, Counting], ids=lambda cls: cls.__name__)
def test_group_scalars_are_plain_numbers_in_a_checkpoint(cls: Any) -> None:
    params = parameters()
    optimizer = cls(params)
    give_gradients(params, 0)
    optimizer.step()
    shared = [n for n, spec in optimizer.rule.states.items() if getattr(spec, "per", "tensor") != "tensor"]
    assert shared
    optimizer.param_groups[0].update({name: torch.tensor(1.0) for name in shared})  # as they are on an accelerator
    saved = optimizer.state_dict()
    assert all(type(saved["param_groups"][0][name]) is float for name in shared)
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True)["param_groups"] == saved["param_groups"]


def test_a_number_of_a_group_that_is_written_by_hand_counts() -> None:
    params = parameters()
    optimizer = Counting(params)
    give(params, 1.0)
    optimizer.step()
    optimizer.param_groups[0]["per_group"] = 100
    optimizer.param_groups[0]["per_all"] = torch.tensor(50.0)
    optimizer.step()
    assert counts(optimizer) == [(101, 51)]


@pytest.mark.parametrize("default", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ["NAdam", "ASGD"])
def test_scalar_states_have_torchs_dtype(name: str, default: torch.dtype) -> None:
    """Those of float64 parameters too: whoever compares checkpoints finds nothing to tell them apart by."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(default)
    try:
        found = []
        for kind in (getattr(torch.optim, name), getattr(optim, name)):
            params = parameters(torch.float64)
            optimizer = kind(params)
            for step in range(3):
                give_gradients(params, step)
                optimizer.step()
            found.append({key: (value.dtype, value.dim()) for key, value in optimizer.state[params[0]].items()})
    finally:
        torch.set_default_dtype(before)
    assert found[0] == found[1]
