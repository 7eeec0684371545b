"""A step that is refused leaves everything as it was: parameters, state, counts, groups, gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import OWN, SHARED, give_gradients, noise, ours


def everything(optimizer: Any, params: list[Tensor]) -> dict[str, Any]:
    return copy.deepcopy({"dict": optimizer.state_dict(), "params": params, "grads": [p.grad for p in params]})


def unchanged(before: Any, after: Any) -> bool:
    if isinstance(before, Tensor):
        dense = (x.to_dense() for x in (before, after))
        return type(before) is type(after) and torch.equal(*dense)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(unchanged(before[k], after[k]) for k in before)
    if isinstance(before, (list, tuple)):
        return len(before) == len(after) and all(map(unchanged, before, after))
    return bool(before == after)


def sparse(step: int) -> Tensor:
    return torch.sparse_coo_tensor([[0, 2]], noise(step, 2, 2), (4, 2), check_invariants=True)


def two_groups(name: str, **hypers: Any) -> tuple[Any, list[Tensor]]:
    params = [noise(i, 4, 2).requires_grad_() for i in range(3)]
    return ours(name, [{"params": params[:2]}, {"params": params[2:], **hypers}]), params


REFUSING = [name for name in [*SHARED, *OWN] if name not in ("SGD", "Adagrad")]


@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize("name", REFUSING)
def test_a_sparse_gradient_in_the_last_group(name: str, steps: int) -> None:
    """Also at the very first step: no state is left behind that a checkpoint would have."""
    optimizer, params = two_groups(name)
    for step in range(steps):
        give_gradients(params, step)
        optimizer.step()
    give_gradients(params, 9)
    params[2].grad = sparse(0)
    before = everything(optimizer, params)
    with pytest.raises(RuntimeError, match=f"{name} does not support sparse gradients"):
        optimizer.step()
    assert unchanged(before, everything(optimizer, params))
    assert bool(optimizer.state) == (steps > 0)


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_a_sparse_gradient_with_weight_decay_in_the_last_group(name: str) -> None:
    optimizer, params = two_groups(name, weight_decay=0.1)
    give_gradients(params, 0)
    params[2].grad = sparse(0)
    before = everything(optimizer, params)
    with pytest.raises(RuntimeError, match="weight_decay option is not compatible with sparse gradients"):
        optimizer.step()
    assert unchanged(before, everything(optimizer, params))


def test_groups_that_do_not_agree_on_a_shared_estimate() -> None:
    optimizer, params = two_groups("Prodigy", lr=0.5)
    give_gradients(params, 0)
    before = everything(optimizer, params)
    with pytest.raises(ValueError, match=r"Prodigy: lr must be the same in every parameter group.* it is 1.0 and 0.5"):
        optimizer.step()
    assert unchanged(before, everything(optimizer, params))
    optimizer.param_groups[1]["lr"] = 1.0
    optimizer.step()
    assert not unchanged(before, everything(optimizer, params))


def test_a_rule_that_is_refused() -> None:
    def flagged(g, m, *, flag=False):
        return g, m.sqrt() if flag else g

    params = [noise(i, 4, 2).requires_grad_() for i in range(2)]
    optimizer = optim.from_rule(flagged, lr=0.1)([{"params": params[:1]}, {"params": params[1:], "flag": True}])
    give_gradients(params, 0)
    before = everything(optimizer, params)
    with pytest.raises(optim.RuleError, match="sqrt can't be traced"):
        optimizer.step()
    assert unchanged(before, everything(optimizer, params))


def test_evaluation_mode() -> None:
    optimizer, params = two_groups("ScheduleFreeAdamW")
    give_gradients(params, 0)
    optimizer.step()
    optimizer.eval()
    before = everything(optimizer, params)
    with pytest.raises(RuntimeError, match="in evaluation mode"):
        optimizer.step()
    assert unchanged(before, everything(optimizer, params))


def test_a_closure_that_raises() -> None:
    optimizer, params = two_groups("AdamW")
    give_gradients(params, 0)
    before = everything(optimizer, params)

    def closure() -> float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        optimizer.step(closure)
    assert unchanged(before, everything(optimizer, params))
    assert torch.is_grad_enabled()


def test_a_step_without_any_gradient() -> None:
    for name in [*SHARED, *OWN]:
        optimizer, params = two_groups(name)
        before = everything(optimizer, params)
        optimizer.step()
        assert unchanged(before, everything(optimizer, params))
        assert bool(optimizer.state) == optimizer.starts_early  # states that the constructor makes are there before


@pytest.mark.parametrize(
    ("group", "error"),
    [
        ({"lr": -1.0}, ValueError), ({"betas": (0.9, 2.0)}, ValueError), ({"betas": 0.9}, TypeError),
        ({"eps": "1e-8"}, TypeError), ({"weight_decay": -0.1}, ValueError),
        ({"weight_decay": optim.l2(-0.1)}, ValueError), ({"params": [noise(0, 2).requires_grad_() * 2]}, ValueError),
    ],
    ids=["lr", "betas", "no tuple", "a string", "decay", "a policy", "no leaf"],
)  # fmt: skip
def test_a_group_that_is_refused(group: dict[str, Any], error: type[Exception]) -> None:
    optimizer, params = two_groups("AdamW")
    before = everything(optimizer, params)
    with pytest.raises(error):
        optimizer.add_param_group({"params": [noise(5, 2).requires_grad_()], **group})
    assert unchanged(before, everything(optimizer, params))


def test_a_checkpoint_that_is_refused() -> None:
    optimizer, params = two_groups("AdamW")
    give_gradients(params, 0)
    optimizer.step()
    before = everything(optimizer, params)
    with pytest.raises(ValueError, match="parameter group"):
        optimizer.load_state_dict(optim.AdamW(params).state_dict())
    assert unchanged(before, everything(optimizer, params))
    give_gradients(params, 1)
    optimizer.step()
    assert float(optimizer.state[params[0]]["step"]) == 2
