"""Bad arguments: the exception is the one of torch's constructor, and the words name the argument and the cure."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import OWN, SHARED

NAN = float("nan")
T = torch.tensor
VALUES: dict[str, list[Any]] = {
    "lr": [-1.0, NAN, "0.1", None, (0.1,), [0.1], T(-1.0), T([0.1, 0.2]), T([]), 1j, frozenset()],
    "eps": [-1.0, NAN, "x", None, T(-1.0)],
    "weight_decay": [-1.0, NAN, "x", None, T(-0.1)],
    "momentum": [-1.0, NAN, "x", None],
    "betas": [
        (1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, -0.1), (NAN, 0.9), (0.9, NAN), (None, 0.9), ("a", "b"),
        (T(1.5), T(0.9)), 0.9, None, (0.9,), (), [0.9, 1.0],
    ],
    "rho": [-0.1, 1.1, NAN, "x", None],
    "alpha": [-0.1, NAN, "x", None],
    "etas": [(1.5, 1.2), (0.5, 0.9), (0.0, 1.2), (0.5, 1.0), (0.5,), 0.5, None, ("a", "b")],
    "lr_decay": [-1.0, NAN, "x", None],
    "initial_accumulator_value": [-1.0, NAN, "x", None],
    "momentum_decay": [-1.0, NAN, "x", None],
    "nesterov": [True],
}  # fmt: skip
TOGETHER: list[dict[str, Any]] = [
    {"fused": True, "foreach": True},
    {"fused": True, "differentiable": True},
    {"lr": T(0.1), "foreach": True},
    {"betas": (T(0.9), T(0.99)), "foreach": True},
    {"betas": (T(0.9), 0.99)},
    {"betas": (0.9, T(0.99))},
]
UNKNOWN: list[dict[str, Any]] = [{"bogus": 1}, {"maximise": True}]
TORCH_TAKES = {("SGD", "nan"), ("ASGD", "alpha")}
"""Where torch has no check: SGD with nan as any number trains a model of nan; ASGD's exponent fails in the step."""


def cases(names: list[str]) -> list[Any]:
    found = []
    for name in names:
        arguments = inspect.signature(getattr(torch.optim, name, getattr(optim, name))).parameters
        bad = [{key: value} for key, values in VALUES.items() if key in arguments for value in values]
        bad += [*(pair for pair in TOGETHER if pair.keys() <= arguments.keys()), *UNKNOWN]
        found += [pytest.param(name, one, id=f"{name}-{one}") for one in bad]
    return found


def error_of(module: Any, name: str, hypers: dict[str, Any]) -> Exception | None:
    try:
        getattr(module, name)([torch.zeros(2, requires_grad=True)], **hypers)
    except Exception as error:
        return error
    return None


def torch_takes(name: str, hypers: dict[str, Any]) -> bool:
    ((key, value), *_) = hypers.items()
    nan = isinstance(value, float) and value != value
    return (name, "nan" if nan else key) in TORCH_TAKES


@pytest.mark.parametrize(("name", "hypers"), cases(SHARED))
def test_the_exception_is_torchs_and_the_words_name_the_argument(name: str, hypers: dict[str, Any]) -> None:
    theirs, mine = error_of(torch.optim, name, hypers), error_of(optim, name, hypers)
    if theirs is None:
        assert mine is None or torch_takes(name, hypers), f"torch takes it, zerograd says {mine!r}"
        return
    assert mine is not None, f"torch says {theirs!r}"
    if isinstance(theirs, RuntimeError) and "ambiguous" in str(theirs):
        assert isinstance(mine, ValueError), "torch's own check comes a line too late"
    else:
        assert isinstance(mine, type(theirs)), f"torch says {theirs!r}, zerograd {mine!r}"
    named(mine, hypers)


WORDS = {"lr": "learning rate", "eps": "epsilon", "betas": "beta", "etas": "eta", "nesterov": "Nesterov"}
CURES = r"must be|did you mean|it takes|takes \d values|leave .* out|make both|requires a|together|support"


def named(error: Exception, hypers: dict[str, Any]) -> None:
    """The message names an argument and says what to do."""
    message = str(error)
    assert any(key in message or WORDS.get(key, key) in message for key in hypers), message
    assert re.search(CURES, message), message


NUMBERS = {key: [value for value in values if "tensor" not in repr(value)] for key, values in VALUES.items()}


@pytest.mark.parametrize(
    ("name", "key", "value"), [(name, key, v) for name in OWN for key in ("lr", "eps", "betas") for v in NUMBERS[key]]
)
def test_what_torch_does_not_have_refuses_what_adamw_refuses(name: str, key: str, value: Any) -> None:
    if key not in getattr(optim, name).rule.hypers and key != "lr":
        assert isinstance(error_of(optim, name, {key: value}), TypeError), "it has no such argument"
        return
    like, mine = error_of(torch.optim, "AdamW", {key: value}), error_of(optim, name, {key: value})
    assert like is not None
    assert isinstance(mine, type(like)), f"AdamW says {like!r}, {name} {mine!r}"
    named(mine, {key: value})


IN_GROUPS = [
    case
    for case in cases(SHARED)
    if len(case.values[1]) == 1
    and case.values[1] not in UNKNOWN
    and case.values[1] not in TOGETHER
    and not (case.values[0] == "ASGD" and "alpha" in case.values[1])  # an exponent there, of any size
]


@pytest.mark.parametrize(("name", "hypers"), IN_GROUPS)
def test_a_bad_group_is_refused_like_a_bad_argument(name: str, hypers: dict[str, Any]) -> None:
    """torch checks the constructor's arguments only; a group's would make a wrong step later."""
    mine = error_of(optim, name, hypers)
    assert mine is not None
    optimizer = getattr(optim, name)([torch.zeros(2, requires_grad=True)])
    p = torch.zeros(3, requires_grad=True)
    group = {"params": [p], **hypers}
    kept = dict(group)
    with pytest.raises(type(mine)):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    assert group.keys() == kept.keys()
