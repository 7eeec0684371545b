"""Loading changes no value and no dtype; tensors end up on their parameter's device and in its layout."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import OWN, SHARED
from loading.runs import go_on, held, named, same, through_a_file

STRANGE: dict[str, Any] = {
    "integers": torch.arange(4, dtype=torch.int64) + 2**40,
    "codes": torch.arange(4, dtype=torch.uint8),
    "flags": torch.tensor([True, False]),
    "double": torch.full((2, 2), 1 / 3, dtype=torch.float64),
    "number": 3,
    "ratio": 1 / 3,
    "word": "kept",
    "nothing": None,
    "pair": (1, torch.tensor([1 / 3], dtype=torch.float64)),
    "list": ["a", 2],
    "nested": {"codes": torch.arange(3, dtype=torch.uint8), "word": "kept"},
}


def alike(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(v, b[k]) for k, v in a.items())
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(alike, a, b))
    return type(a) is type(b) and bool(a == b)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_state_of_any_kind_comes_through_unchanged(dtype: torch.dtype, strict: bool) -> None:
    params = named(dtype)
    optimizer = optim.AdamW(list(params.values()))
    go_on(optimizer, params, range(2))
    saved = copy.deepcopy(optimizer.state_dict())
    for number, p in enumerate(params.values()):
        saved["state"][number].update(copy.deepcopy(STRANGE), exp_avg=torch.full(p.shape, 1 / 3, dtype=torch.float32))
    saved["state"][0]["step"] = torch.tensor(1001.0)  # beyond what bfloat16 counts
    expected = copy.deepcopy(saved["state"])
    optimizer.load_state_dict(through_a_file(saved), strict=strict)
    for number, p in enumerate(params.values()):
        assert alike(expected[number], optimizer.state[p])
    go_on(optimizer, params, range(2, 3))
    assert all(optimizer.state[p]["exp_avg"].dtype == torch.float32 for p in params.values())
    assert float(optimizer.state[params["fc.weight"]]["step"]) == 1002


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_what_was_loaded_shares_no_memory(name: str) -> None:
    params = named()
    optimizer = getattr(optim, name)(list(params.values()))
    go_on(optimizer, params, range(2))
    saved = optimizer.state_dict()
    kept = copy.deepcopy(saved["state"])
    optimizer.load_state_dict(saved)
    go_on(optimizer, params, range(2, 4))
    assert alike(kept, saved["state"])


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_saving_and_loading_twice_is_saving_and_loading_once(name: str) -> None:
    params = named(torch.bfloat16)
    optimizer = getattr(optim, name)(params.items())
    go_on(optimizer, params, range(2))
    before = held(optimizer, params)
    for _ in range(2):
        optimizer.load_state_dict(through_a_file(optimizer.state_dict()))
        assert same(before, held(optimizer, params))


def test_state_takes_the_layout_of_its_parameter() -> None:
    """A checkpoint of a plain model goes into one that is channels last; kernels want one order in both."""
    start = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    plain, last = start.clone().requires_grad_(), start.to(memory_format=torch.channels_last).requires_grad_()
    one, other = optim.AdamW([plain]), optim.AdamW([last])
    plain.grad = start.clone()
    one.step()
    with torch.no_grad():
        last.copy_(plain)
    other.load_state_dict(one.state_dict())
    assert other.state[last]["exp_avg"].stride() == last.stride()
    assert torch.equal(other.state[last]["exp_avg"], one.state[plain]["exp_avg"])
    for p, optimizer in ((plain, one), (last, other)):
        p.grad = torch.ones_like(p)
        optimizer.step()
    # One is walked through in another order, which changes nothing about single elements.
    assert torch.equal(plain, last)


def test_loading_under_inference_mode_gives_state_that_can_train() -> None:
    params = named()
    optimizer = optim.AdamW(list(params.values()))
    go_on(optimizer, params, range(2))
    with torch.inference_mode():
        optimizer.load_state_dict(optimizer.state_dict())
    assert not any(value.is_inference() for held in optimizer.state.values() for value in held.values())
    go_on(optimizer, params, range(2, 4))


def test_state_of_a_parameter_that_left_is_told_when_saving() -> None:
    params = named()
    optimizer = optim.AdamW(list(params.values()))
    go_on(optimizer, params, range(1))
    optimizer.param_groups[0]["params"].pop()
    with pytest.raises(KeyError, match=r"1 parameters that are in no group, the first of shape \(2, 3\); delete"):
        optimizer.state_dict()
