"""``optimizer.state`` is the user's: what is written, deleted or moved there by hand is what the next step finds."""

from __future__ import annotations

import copy
import gc
import weakref
from collections import defaultdict
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import equal, give_gradients, noise, ours, parameters, snapshot


def stepped(steps: int, cls: Any = optim.Adam, **hypers: Any) -> tuple[Any, list[Tensor]]:
    params = parameters()
    optimizer = cls(params, **hypers)
    for step in range(steps):
        give_gradients(params, step)
        optimizer.step()
    return optimizer, params


def step(optimizer: Any, params: list[Tensor]) -> list[float]:
    give_gradients(params, 99)
    optimizer.step()
    return [float(optimizer.state[p]["step"]) for p in params]


@pytest.mark.parametrize(
    "value",
    [torch.tensor(7.0), torch.tensor(7.0, dtype=torch.float64), torch.tensor(7), torch.tensor([7.0]), 7, 7.0],
    ids=repr,
)
def test_a_step_count_of_any_kind_is_taken_over(value: Any) -> None:
    optimizer, params = stepped(3)
    optimizer.state[params[1]]["step"] = value
    assert step(optimizer, params) == [4, 8, 4]
    assert step(optimizer, params) == [5, 9, 5]
    is_torchs = isinstance(value, Tensor) and value.dtype == torch.float32 and value.dim() == 0
    assert float(value) == (9 if is_torchs else 7), "of what was handed in only torch's own kind is counted up"


def test_a_step_count_can_be_read_and_written_in_place() -> None:
    optimizer, params = stepped(2)
    count = optimizer.state[params[0]]["step"]
    count += 10
    assert step(optimizer, params) == [13, 3, 3]
    assert count.item() == 13, "it is the very tensor, as in torch"


@pytest.mark.parametrize("name", ["AdamW", "NAdam", "ASGD"])
def test_states_that_are_swapped_in_are_changed_in_place_as_in_torch(name: str) -> None:
    """Functional training: the state dictionary is what is trained on, and the optimizer keeps its own."""
    stateless = pytest.importorskip("torch.optim._stateless", reason="this PyTorch has no functional optimizers")
    found = []
    for library in (torch.optim, optim):
        params = parameters()
        optimizer = getattr(library, name)(params)
        give_gradients(params, 0)
        optimizer.step()
        outside, before = copy.deepcopy(optimizer.state_dict()), snapshot(optimizer)
        others = {str(i): p.detach().clone().requires_grad_() for i, p in enumerate(params)}
        for turn in range(3):
            with stateless.swap_in_optimizer_params_and_state(optimizer, others, outside):
                give_gradients(list(others.values()), turn)
                optimizer.step()
        assert equal(before, snapshot(optimizer))
        found.append((list(others.values()), outside["state"]))
    torch.testing.assert_close(found[1], found[0])


def test_one_parameters_state_can_be_deleted() -> None:
    optimizer, params = stepped(3)
    del optimizer.state[params[0]]
    assert step(optimizer, params) == [1, 4, 4]
    del optimizer.state[params[2]]["step"]
    assert step(optimizer, params) == [2, 5, 1]
    optimizer.state[params[1]].clear()
    assert step(optimizer, params) == [3, 1, 2]


def test_all_state_can_be_replaced() -> None:
    optimizer, params = stepped(3)
    kept = optimizer.state
    optimizer.state = defaultdict(dict)
    assert step(optimizer, params) == [1, 1, 1]
    optimizer.state = kept
    assert step(optimizer, params) == [4, 4, 4]


def test_parameters_that_leave_and_join_in_one_step_do_not_mix_up_the_counts() -> None:
    optimizer, (a, b, c) = stepped(3)
    d = noise(7, 2).requires_grad_()
    del optimizer.state[a]
    optimizer.param_groups[0]["params"] = [c, d, b]
    assert step(optimizer, [c, d, b]) == [4, 1, 4]
    optimizer.param_groups[0]["params"] = [a, d, b]
    assert step(optimizer, [a, d, b]) == [1, 2, 5]


def test_state_can_be_moved_to_a_new_parameter() -> None:
    """As Accelerate does when it exchanges the parameters: the new object goes on with the old one's state."""
    optimizer, params = stepped(3)
    straight, others = stepped(3)
    new = [p.detach().clone().requires_grad_() for p in params]
    optimizer.param_groups[0]["params"] = new
    optimizer.state = defaultdict(dict, {q: optimizer.state[p] for p, q in zip(params, new, strict=True)})
    assert step(optimizer, new) == [4, 4, 4]
    step(straight, others)
    assert all(torch.equal(p, q) for p, q in zip(new, others, strict=True))
    assert equal(snapshot(optimizer), snapshot(straight))


def test_a_parameter_that_left_is_not_kept_alive() -> None:
    optimizer, params = stepped(2, optim.NAdam)
    gone = weakref.ref(params[0])
    new = noise(8, 2).requires_grad_()
    optimizer.param_groups[0]["params"] = [new, *params[1:]]
    del optimizer.state[params[0]]
    params = [new, *params[1:]]
    step(optimizer, params)
    gc.collect()
    assert gone() is None


def test_a_new_parameter_at_an_old_address_starts_at_zero() -> None:
    """Ids are used again after a parameter has died."""
    optimizer, params = stepped(2)
    for _ in range(50):
        del optimizer.state[params[0]]
        optimizer.param_groups[0]["params"] = params = [noise(8, 2).requires_grad_(), *params[1:]]
        assert step(optimizer, params)[0] == 1


def test_what_was_loaded_is_a_copy() -> None:
    optimizer, params = stepped(2)
    saved = copy.deepcopy(optimizer.state_dict())
    kept = copy.deepcopy(saved)
    optimizer.load_state_dict(saved)
    step(optimizer, params)
    for number, held in saved["state"].items():
        assert all(torch.equal(value, kept["state"][number][key]) for key, value in held.items())
    assert [float(held["step"]) for held in saved["state"].values()] == [2, 2, 2]


def test_numbers_of_half_precision_parameters_are_loaded_without_rounding() -> None:
    """bfloat16 can't count beyond 256."""
    p = torch.ones(3, dtype=torch.bfloat16).requires_grad_()
    optimizer = optim.NAdam([p])
    p.grad = torch.ones_like(p)
    optimizer.step()
    optimizer.state[p]["step"].fill_(1001)
    product = float(optimizer.state[p]["mu_product"])
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert float(optimizer.state[p]["step"]) == 1001
    assert float(optimizer.state[p]["mu_product"]) == product


def test_parameters_whose_states_differ_in_dtype_are_computed_apart() -> None:
    together, apart = parameters(), parameters()
    optimizers = [optim.AdamW(together), *(optim.AdamW([p]) for p in apart)]
    for params, mine in ((together, optimizers[:1]), (apart, optimizers[1:])):
        give_gradients(params, 0)
        for optimizer in mine:
            optimizer.step()
            state = optimizer.state.get(params[1], {})
            state.update({key: state[key].double() for key in ("exp_avg", "exp_avg_sq") if key in state})
        give_gradients(params, 1)
        for optimizer in mine:
            optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(together, apart, strict=True))
    assert optimizers[0].state[together[1]]["exp_avg"].dtype == torch.float64
    assert optimizers[0].state[together[0]]["exp_avg"].dtype == torch.float32


@pytest.mark.parametrize("name", ["NAdam", "ASGD"])
def test_scalar_states_are_the_users_too(name: str) -> None:
    key = {"NAdam": "mu_product", "ASGD": "eta"}[name]
    optimizer, params = stepped(2, getattr(optim, name))
    before = [float(optimizer.state[p][key]) for p in params]
    optimizer.state[params[0]][key].fill_(0.25)
    optimizer.state[params[1]][key] = 0.5
    twin, twins = stepped(2, getattr(optim, name))
    step(optimizer, params)
    step(twin, twins)
    moved = [torch.equal(p, q) for p, q in zip(params, twins, strict=True)]
    assert before[0] == before[1]
    assert moved == [False, False, True]


def test_an_average_that_is_replaced_is_used_and_written() -> None:
    optimizer, params = stepped(1)
    mine = torch.full_like(params[0], 5.0)
    optimizer.state[params[0]]["exp_avg"] = mine
    step(optimizer, params)
    assert optimizer.state[params[0]]["exp_avg"] is mine
    assert not torch.equal(mine, torch.full_like(mine, 5.0))


def test_a_state_that_is_none_starts_anew() -> None:
    """torch's SGD writes None for a buffer that does not exist yet."""
    optimizer, params = stepped(2, optim.SGD, lr=0.1, momentum=0.9, dampening=0.5)
    optimizer.state[params[0]]["momentum_buffer"] = None
    give_gradients(params, 5)
    optimizer.step()
    assert torch.equal(optimizer.state[params[0]]["momentum_buffer"], params[0].grad)
    assert not torch.equal(optimizer.state[params[1]]["momentum_buffer"], params[1].grad)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "Rprop", "ASGD", "LAMB"])
def test_a_parameters_data_can_be_exchanged(name: str) -> None:
    params = [noise(0, 4).requires_grad_()]
    optimizer = ours(name, params)
    give_gradients(params, 0)
    optimizer.step()
    old, new = params[0].data, torch.zeros(4)
    params[0].data = new
    kept = old.clone()
    give_gradients(params, 1)
    optimizer.step()
    assert torch.equal(old, kept)
    assert new.any()


def test_a_model_that_becomes_double_is_computed_in_double() -> None:
    params = [noise(0, 4).requires_grad_()]
    optimizer = optim.AdamW(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    params[0].data, params[0].grad = params[0].data.double(), None
    params[0].grad = noise(1, 4, dtype=torch.float64)
    optimizer.step()
    assert params[0].dtype == torch.float64
    assert optimizer.state[params[0]]["exp_avg"].dtype == torch.float32
