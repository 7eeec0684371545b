"""Where torch has an optimizer of the same name, a call written for torch means the same here."""

from __future__ import annotations

import inspect

import pytest
import torch

import zerograd
from zerograd import RuleOptimizer

REWRITTEN = [
    name
    for name in sorted(torch.optim.__all__)
    if inspect.isclass(value := getattr(zerograd, name, None)) and issubclass(value, RuleOptimizer)
]
NOT_IN_OUR_GROUPS = {
    "AdamW": {"decoupled_weight_decay"},  # torch's AdamW is its Adam with this flag set; here it is a rule of its own
}
POSITIONAL, KEYWORD = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY

by_class = pytest.mark.parametrize("name", REWRITTEN)


def parameters(cls: type[torch.optim.Optimizer], kind: inspect._ParameterKind) -> dict[str, object]:
    """Name -> default of the parameters of one kind, in their order."""
    return {p.name: p.default for p in inspect.signature(cls).parameters.values() if p.kind is kind}


def test_the_classes_of_torch_that_are_rewritten() -> None:
    assert REWRITTEN == [
        "ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Muon", "NAdam", "RAdam", "RMSprop",
        "Rprop", "SGD", "SparseAdam",
    ]  # fmt: skip


@by_class
def test_no_argument_is_of_another_kind(name: str) -> None:
    for cls in (getattr(torch.optim, name), getattr(zerograd, name)):
        kinds = {p.kind for p in inspect.signature(cls).parameters.values()}
        assert kinds <= {POSITIONAL, KEYWORD}


@by_class
def test_positional_arguments_are_torchs_in_order_and_default(name: str) -> None:
    ours, torchs = (parameters(getattr(m, name), POSITIONAL) for m in (zerograd, torch.optim))
    assert list(ours.items()) == list(torchs.items())


@by_class
def test_keyword_arguments_of_torch_are_here_with_the_same_default(name: str) -> None:
    ours, torchs = (parameters(getattr(m, name), KEYWORD) for m in (zerograd, torch.optim))
    assert torchs.items() <= ours.items()


@by_class
def test_arguments_of_our_own_come_last_and_by_keyword_only(name: str) -> None:
    ours, torchs = (list(inspect.signature(getattr(m, name)).parameters.values()) for m in (zerograd, torch.optim))
    known = {p.name for p in torchs}
    own = [p for p in ours if p.name not in known]
    assert ours[len(torchs) :] == own
    assert all(p.kind is KEYWORD for p in own)


@by_class
def test_the_defaults_of_the_groups_are_torchs(name: str) -> None:
    """Programs read and write ``param_groups``: torch's keys are there and hold the same."""
    ours, torchs = (getattr(m, name)([torch.zeros(1, 1)]).param_groups[0] for m in (zerograd, torch.optim))
    wanted = {key: torchs[key] for key in torchs.keys() - {"params"} - NOT_IN_OUR_GROUPS.get(name, set())}
    assert {key: ours.get(key, "absent") for key in wanted} == wanted
