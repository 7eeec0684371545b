"""Keys of groups: numbers that are tensors, keys of other libraries, misspelt ones, and groups that come in mid-run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import OWN, SHARED, equal, give_gradients, noise, ours, parameters, torchs

# Powers of two and their sums: the same numbers as Python floats and as tensors of any dtype.
CHANGES: dict[str, list[Any]] = {
    "lr": [0.5, 0.25, 0.125],
    "weight_decay": [0.25, 0.5, 0.0],
    "betas": [(0.5, 0.75), (0.25, 0.75), (0.75, 0.5)],
    "eps": [0.25, 0.5, 0.125],
    "momentum": [0.5, 0.25, 0.75],
    "alpha": [0.5, 0.75, 0.25],
    "rho": [0.5, 0.75, 0.25],
}
CASES = [
    (name, key)
    for name in [*SHARED, *OWN]
    for key in CHANGES
    if key in getattr(optim, name)([torch.zeros(1, requires_grad=True)]).defaults
]


def as_tensor(value: Any, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    if isinstance(value, tuple):
        return tuple(as_tensor(one, shape, dtype) for one in value)
    return torch.full(shape, value, dtype=dtype)


def set_in_place(held: Any, value: Any) -> None:
    for tensor, number in zip(held, value, strict=True) if isinstance(held, tuple) else [(held, value)]:
        tensor.fill_(number)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(), (1,)], ids=["0-dim", "1-element"])
@pytest.mark.parametrize(("name", "key"), CASES)
def test_a_number_may_be_a_tensor_and_change_in_place(
    name: str, key: str, shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    """It gives the very steps that numbers give, and the tensor stays the user's."""
    own, twins = parameters(), parameters()
    held = as_tensor(CHANGES[key][0], shape, dtype)
    optimizer, plain = ours(name, own, **{key: held}), ours(name, twins, **{key: CHANGES[key][0]})
    for number, value in enumerate([CHANGES[key][0], *CHANGES[key], CHANGES[key][0]]):
        set_in_place(held, value)
        plain.param_groups[0][key] = value
        for params, one in ((own, optimizer), (twins, plain)):
            give_gradients(params, number)
            one.step()
        assert equal([p.detach() for p in own], [p.detach() for p in twins]), f"step {number + 1}"
    assert optimizer.param_groups[0][key] is held or isinstance(held, tuple)


@pytest.mark.parametrize("shape", [(), (1,)], ids=["0-dim", "1-element"])
@pytest.mark.parametrize("name", SHARED)
def test_a_tensor_in_a_group_of_its_own_is_torchs_number(name: str, shape: tuple[int, ...]) -> None:
    runs = []
    for make in (torchs, ours):
        params = parameters(torch.float64)
        lr: Any = 0.1 if make is torchs else torch.full(shape, 0.1, dtype=torch.float64)
        optimizer = make(name, [{"params": params[:1], "lr": lr}, {"params": params[1:]}], lr=0.05)
        for step in range(4):
            give_gradients(params, step)
            optimizer.step()
            optimizer.param_groups[0]["lr"] *= 0.5  # a tensor in place, a number anew
        runs.append([p.detach() for p in params])
    for x, y in zip(*runs, strict=True):
        # torch keeps step counts and rates in float32 here, so 1e-7 of a step.
        torch.testing.assert_close(x, y, rtol=1e-6, atol=1e-7)


FOREIGN = {"lr_scale": 0.5, "initial_lr": 0.1, "max_lr": 1.0, "layer_id": 3, "name": "head", "no_decay": True, 7: None}


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_keys_of_other_libraries_are_kept_and_change_nothing(name: str) -> None:
    """timm's schedulers multiply a group's lr_scale into its lr; the optimizer keeps it and no more."""
    params, twins = parameters(), parameters()
    optimizer, plain = ours(name, [{"params": params, **FOREIGN}]), ours(name, twins)
    for step in range(3):
        for own, one in ((params, optimizer), (twins, plain)):
            give_gradients(own, step)
            one.step()
        optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert equal([p.detach() for p in params], [p.detach() for p in twins])
    assert optimizer.param_groups[0].items() >= FOREIGN.items()
    assert optimizer.state_dict()["param_groups"][0].items() >= FOREIGN.items()


def test_lr_scale_multiplied_in_as_timm_does_it() -> None:
    runs = []
    for make in (torchs, ours):
        params = parameters(torch.float64)
        optimizer = make("AdamW", [{"params": params[:1], "lr_scale": 0.25}, {"params": params[1:], "lr_scale": 1.0}])
        for step in range(4):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * 0.9**step * group["lr_scale"]
            give_gradients(params, step)
            optimizer.step()
        runs.append([p.detach() for p in params])
    for x, y in zip(*runs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-12)  # float64 in another order of operations


@pytest.mark.parametrize(
    ("key", "meant"),
    [("weigth_decay", "weight_decay"), ("beta", "betas"), ("learning_rate", "lr"), ("maximise", "maximize")],
)
def test_a_misspelt_key_is_told_and_kept(key: str, meant: str) -> None:
    first, second = parameters()[:2]
    with pytest.warns(UserWarning, match=f"AdamW: .* the key {key!r}, which does nothing; did you mean {meant!r}"):
        optimizer = optim.AdamW([{"params": [first], key: 0.5}])
    assert optimizer.param_groups[0][key] == 0.5
    with pytest.warns(UserWarning, match=f"did you mean {meant!r}"):
        optimizer.add_param_group({"params": [second], key: 0.5})


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_named_groups_may_come_at_any_time(name: str) -> None:
    """A group that comes in after three steps goes like one that was there and had no gradient until then."""
    params, twins = parameters(), parameters()
    optimizer = ours(name, [("a", params[0])])
    steady = ours(name, [("a", twins[0])])
    steady.add_param_group({"params": [("b", twins[1]), ("c", twins[2])]})
    for step in range(6):
        if step == 3:
            optimizer.add_param_group({"params": [("b", params[1]), ("c", params[2])]})
        for own, one in ((params, optimizer), (twins, steady)):
            for i, p in enumerate(own):
                p.grad = noise(100 * step + i, *p.shape) if i == 0 or step >= 3 else None
            one.step()
    assert equal([p.detach() for p in params], [p.detach() for p in twins])
    assert [group["param_names"] for group in optimizer.param_groups] == [["a"], ["b", "c"]]
    with pytest.raises(ValueError, match="with/without names"):
        optimizer.add_param_group({"params": [noise(9, 2).requires_grad_()]})
    assert len(optimizer.param_groups) == 2


def test_the_users_own_group_is_the_group() -> None:
    """As in torch: the dictionary that was handed in is filled up and stays the group."""
    p: Tensor = parameters()[0]
    group = {"params": [p], "lr": 0.5}
    optimizer = optim.AdamW([group])
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.param_groups[0]["lr"] = 0.25
    other = {"params": [parameters()[1]]}
    optimizer.add_param_group(other)
    assert optimizer.param_groups[1] is other
