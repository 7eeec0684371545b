"""What holds for every oracle."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import oracles
from oracles import Reference
from oracles.walking import CLASSES, give, tensors, twice


@pytest.mark.parametrize("cls", CLASSES)
def test_groups_steps_and_absent_gradients(cls: type[Reference]) -> None:
    a, b, c = (p.requires_grad_() for p in tensors(1))
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b, c], "lr": 0.0}]
    oracle = cls(groups, lr=0.5)
    assert [g["lr"] for g in oracle.param_groups] == [0.5, 0.0]
    a.grad, b.grad = tensors(2)[:2]
    oracle.step()
    a.grad = None
    oracle.step()
    oracle.step()
    assert oracle.state[a]["step"] == 1
    assert oracle.state[b]["step"] == 3
    assert c not in oracle.state
    assert torch.equal(c, tensors(1)[2])


@pytest.mark.parametrize("cls", CLASSES)
def test_lr_zero_leaves_the_parameter(cls: type[Reference]) -> None:
    mine, theirs = twice()
    oracle = cls(mine, lr=0.0)
    for t in range(3):
        give(mine, tensors(t))
        oracle.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("cls", CLASSES)
def test_maximize_is_the_negated_gradient(cls: type[Reference]) -> None:
    mine, theirs = twice()
    up, down = cls(mine, maximize=True), cls(theirs)
    for t in range(4):
        give(mine, tensors(t))
        give(theirs, [-g for g in tensors(t)])
        up.step()
        down.step()
    for p, q in zip(mine, theirs, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_gradient_is_not_touched(cls: type[Reference]) -> None:
    params, _ = twice()
    oracle = cls(params, weight_decay=0.1)
    for t in range(3):
        give(params, tensors(t))
        oracle.step()
        for p, g in zip(params, tensors(t), strict=True):
            assert p.grad is not None
            assert torch.equal(p.grad, g)


def test_unknown_hyper_parameters_and_low_precision_are_refused() -> None:
    with pytest.raises(TypeError, match="momentum"):
        oracles.Lion([], momentum=0.9)
    with pytest.raises(TypeError, match="float64"):
        oracles.Lion([torch.zeros(2, dtype=torch.float32)])
