"""State dicts go both ways with torch in the middle of a run, keep dtypes, and survive pickling and copying."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import FLAGS, OWN, SHARED, equal, give_gradients, ours, parameters, snapshot, torchs
from zerograd import rules
from zerograd.algebra import rule, sign


@rule
def signed(g: Any) -> Any:
    return sign(g)


def plain_function(g: Any, m: Any, *, decay: float = 0.5) -> Any:
    m = decay * m + g
    return m, m


SignSGD = optim.from_rule(signed, name="SignSGD", lr=0.1)
Unnamed = optim.from_rule(rules.ema(rules.decoupled(rules.lion)), lr=0.1)
FromFunction = optim.from_rule(plain_function, lr=0.1)


def run(make: Any, steps: int, *, params: list[Tensor] | None = None, start: int = 0) -> tuple[Any, list[Tensor]]:
    params = parameters(torch.float64) if params is None else params
    optimizer = make(params)
    for step in range(start, start + steps):
        give_gradients(params, step)
        optimizer.step()
    return optimizer, params


def go_on(optimizer: Any, params: list[Tensor], steps: int, start: int) -> list[Tensor]:
    for step in range(start, start + steps):
        give_gradients(params, step)
        optimizer.step()
    return [p.detach() for p in params]


pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize("first", ["torch", "zerograd"])
@pytest.mark.parametrize("name", SHARED)
def test_a_run_goes_on_in_the_other_library_as_if_nothing_was(name: str, first: str) -> None:
    flags = FLAGS.get(name, {})
    makers = {
        "torch": lambda params: torchs(name, params, **flags),
        "zerograd": lambda params: ours(name, params, **flags),
    }
    second = "zerograd" if first == "torch" else "torch"
    one, params = run(makers[first], 4)
    other_params = [p.detach().clone().requires_grad_() for p in params]
    other = makers[second](other_params)
    buffer = io.BytesIO()
    torch.save(one.state_dict(), buffer)
    buffer.seek(0)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    theirs = go_on(one, params, 4, 4)
    mine = go_on(other, other_params, 4, 4)
    # The two libraries round differently in each of four steps of float64.
    assert all(torch.allclose(x, y, rtol=1e-12, atol=1e-14) for x, y in zip(theirs, mine, strict=True))


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_resuming_is_bitwise(name: str) -> None:
    one, params = run(lambda ps: ours(name, ps, **FLAGS.get(name, {})), 3)
    twin_params = [p.detach().clone().requires_grad_() for p in params]
    twin = ours(name, twin_params, **FLAGS.get(name, {}))
    twin.load_state_dict(copy.deepcopy(one.state_dict()))
    assert equal(go_on(one, params, 3, 3), go_on(twin, twin_params, 3, 3))
    assert equal(snapshot(one), snapshot(twin))


def test_state_keeps_its_dtype() -> None:
    p = torch.zeros(4, dtype=torch.bfloat16).requires_grad_()
    optimizer = optim.AdamW([p])
    p.grad = torch.ones_like(p)
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["exp_avg"] = torch.full((4,), 1 / 3, dtype=torch.float32)
    saved["state"][0]["codes"] = torch.arange(4, dtype=torch.uint8)
    saved["state"][0]["note"] = "kept"
    optimizer.load_state_dict(saved)
    state = optimizer.state[p]
    assert state["exp_avg"].dtype == torch.float32
    assert state["exp_avg"][0] == torch.tensor(1 / 3, dtype=torch.float32)
    assert state["codes"].dtype == torch.uint8
    assert state["note"] == "kept"
    assert state["exp_avg"] is not saved["state"][0]["exp_avg"]
    optimizer.step()
    assert state["exp_avg"].dtype == torch.float32


def test_a_group_keeps_the_keys_that_a_checkpoint_lacks() -> None:
    params = parameters()
    saved = torch.optim.AdamW(params, lr=0.5).state_dict()
    optimizer = optim.AdamW([{"params": params, "mine": 7}])
    optimizer.load_state_dict(saved)
    assert optimizer.param_groups[0]["mine"] == 7
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_a_checkpoint_of_other_groups_is_refused() -> None:
    params = parameters()
    optimizer = optim.AdamW(params)
    with pytest.raises(ValueError, match="parameter group"):
        optimizer.load_state_dict(optim.AdamW(params[:2]).state_dict())


def test_names_travel_with_the_state() -> None:
    named = [(f"layer.{i}", p) for i, p in enumerate(parameters())]
    optimizer = optim.AdamW(named)
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["layer.0", "layer.1", "layer.2"]


@pytest.mark.parametrize("cls", [optim.AdamW, SignSGD, Unnamed, FromFunction], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_a_copy_goes_on_like_the_original(cls: Any, how: str) -> None:
    optimizer, params = run(cls, 3)
    pair = (optimizer, params)
    twin, twin_params = pickle.loads(pickle.dumps(pair)) if how == "pickle" else copy.deepcopy(pair)
    assert equal(go_on(optimizer, params, 2, 3), go_on(twin, twin_params, 2, 3))


def test_only_pickling_a_lambda_is_an_error_and_it_is_clear() -> None:
    cls = optim.from_rule(lambda g: g, lr=0.1)
    optimizer, _ = run(cls, 2)
    copy.deepcopy(optimizer)
    with pytest.raises(pickle.PicklingError, match="can't be pickled: pickle finds it by its name"):
        pickle.dumps(optimizer)


def test_a_policy_is_pickled_with_the_optimizer() -> None:
    optimizer, params = run(lambda ps: optim.AdamW(ps, weight_decay=optim.cautious_decay(0.3)), 2)
    twin, twin_params = pickle.loads(pickle.dumps((optimizer, params)))
    assert equal(go_on(optimizer, params, 2, 2), go_on(twin, twin_params, 2, 2))
