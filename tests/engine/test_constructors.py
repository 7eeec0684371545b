"""Constructors take what torch's take and refuse what torch's refuse, with the same exceptions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import OWN, SHARED, noise
from zerograd import rules

BAD: list[tuple[str, dict[str, Any]]] = [
    *[(name, {"lr": -1.0}) for name in SHARED],
    ("SGD", {"momentum": -0.1}), ("SGD", {"weight_decay": -0.1}), ("SGD", {"nesterov": True}),
    ("Adam", {"betas": (1.0, 0.9)}), ("Adam", {"betas": (0.9, -0.1)}), ("Adam", {"eps": -1e-8}),
    ("AdamW", {"weight_decay": -1.0}), ("NAdam", {"momentum_decay": -1.0}), ("RMSprop", {"alpha": -0.5}),
    ("Adagrad", {"lr_decay": -1.0}), ("Adagrad", {"initial_accumulator_value": -1.0}), ("Adadelta", {"rho": 1.5}),
    ("Rprop", {"etas": (1.5, 1.2)}), ("Adam", {"lr": float("nan")}), ("Adamax", {"betas": (0.9, 2.0)}),
]  # fmt: skip


def one() -> list[torch.Tensor]:
    return [torch.zeros(2, requires_grad=True)]


@pytest.mark.parametrize(("name", "hypers"), BAD, ids=str)
def test_bad_values_are_refused_in_torchs_words(name: str, hypers: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as theirs:
        getattr(torch.optim, name)(one(), **hypers)
    with pytest.raises(ValueError) as ours:
        getattr(optim, name)(one(), **hypers)
    assert str(ours.value).startswith(str(theirs.value))


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_an_unknown_keyword_names_the_nearest(name: str) -> None:
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'maximise'; did you mean 'maximize'\?"):
        getattr(optim, name)(one(), maximise=True)
    with pytest.raises(TypeError, match=r"did you mean 'lr'\?"):
        getattr(optim, name)(one(), learning_rate=0.1)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ([], ValueError),
        (torch.zeros(2, requires_grad=True), TypeError),
        ([1.0], TypeError),
        ([noise(0, 2).requires_grad_() * 2], ValueError),
        ([{"params": {noise(0, 2).requires_grad_()}}], TypeError),
    ],
    ids=["none", "a tensor", "a number", "no leaf", "a set"],
)
def test_parameters_that_torch_refuses_are_refused(params: Any, error: type[Exception]) -> None:
    for module in (torch.optim, optim):
        with pytest.raises(error):
            module.Adam(params)


@pytest.mark.parametrize(
    ("hypers", "error"),
    [
        ({"lr": "0.1"}, TypeError),
        ({"betas": 0.9}, TypeError),
        ({"betas": (0.9,)}, ValueError),
        ({"lr": torch.ones(2)}, ValueError),
        ({"eps": None}, TypeError),
        ({"fused": True, "foreach": True}, RuntimeError),
    ],
    ids=str,
)
def test_values_of_the_wrong_kind_are_refused(hypers: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        optim.Adam(one(), **hypers)


def test_every_class_is_an_optimizer_of_torch() -> None:
    for name in [*SHARED, *OWN]:
        assert isinstance(getattr(optim, name)(one()), torch.optim.Optimizer)


def test_a_rule_without_a_default_learning_rate_needs_one() -> None:
    cls = optim.from_rule(rules.lion)
    with pytest.raises(TypeError, match="lr"):
        cls(one())
    assert cls(one(), lr=0.1).param_groups[0]["lr"] == 0.1


def test_from_rule_refuses_what_the_rule_does_not_have() -> None:
    with pytest.raises(TypeError, match="momentum is no hyper-parameter"):
        optim.from_rule(rules.lion, momentum=0.9)
    with pytest.raises(TypeError, match="leaves out betas"):
        optim.from_rule(rules.lion, order="lr")
    with pytest.raises(TypeError, match="order names foo"):
        optim.from_rule(rules.lion, order="lr betas foo")
    with pytest.raises(ValueError, match="sparse"):
        optim.from_rule(rules.lion, sparse="yes")
    with pytest.raises(TypeError):
        optim.from_rule(3)


def test_a_class_of_its_own_may_be_subclassed() -> None:
    class Slow(optim.SGD):
        def __init__(self, params: Any) -> None:
            super().__init__(params, lr=0.5)

    p = torch.ones(2, requires_grad=True)
    p.grad = torch.ones(2)
    Slow([p]).step()
    assert p.tolist() == [0.5, 0.5]
