"""Checks of hyper-parameters, before anything is changed.

The standard names are checked the same for every rule, with torch's messages; a rule adds its own conditions with
``@rule.requires``. Exceptions are torch's: ValueError for a bad value, TypeError for something that is no number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.notation import Rule
from zerograd.algebra.tracing import is_static

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

_NOT_NEGATIVE = {
    "lr": "Invalid learning rate: {}",
    "eps": "Invalid epsilon value: {}",
    "momentum": "Invalid momentum value: {}",
    "weight_decay": "Invalid weight_decay value: {}",
}


def check_hypers(rule: Rule, values: Mapping[str, Any], optimizer: str) -> None:
    """Raise ValueError or TypeError for the first hyper-parameter that can't be meant."""
    for name in ("lr", *rule.hypers):
        _check_kind(name, values[name], rule.hypers.get(name, 0.0), optimizer)
    for requirement in rule.requirements:
        if not requirement.holds(**{name: values[name] for name in requirement.names}):
            raise ValueError(requirement.message.format(**values))
    for name, message in _NOT_NEGATIVE.items():
        if name in values and not isinstance(values[name], tuple) and not values[name] >= 0:
            raise ValueError(f"{message.format(values[name])}; it must be 0 or more")
    for index, beta in enumerate(values.get("betas", ())):
        if not 0 <= beta < 1:
            raise ValueError(f"Invalid beta parameter at index {index}: {beta}; it must be in [0, 1)")


def check_parameters(rule: Rule, params: Sequence[Any], group: int, optimizer: str) -> None:
    """Raise ValueError if the rule can't take one of the parameters of a group."""
    for requirement in rule.parameter_requirements:
        if unfit := [[group, at] for at, p in enumerate(params) if not requirement.holds(p)]:
            size = params[unfit[0][1]].size()
            raise ValueError(requirement.message.format(optimizer=optimizer, indices=unfit, size=size))


def check_tensors(optimizer: RuleOptimizer, live: Sequence[Tensor], hypers: Mapping[str, Any]) -> None:
    """Raise RuntimeError for a parameter or gradient that the optimizer can't take in this step."""
    name = type(optimizer).__name__
    for p in live:
        g = p.grad
        assert g is not None
        if g.layout != torch.strided and optimizer.sparse is None:
            raise RuntimeError(f"{name} does not support sparse gradients, please consider SparseAdam instead")
        if g.layout == torch.strided and optimizer.sparse == "only":
            raise RuntimeError(f"{name} does not support dense gradients, please consider Adam instead")
        if p.is_complex() and not optimizer.rule.elementwise:
            raise RuntimeError(
                f"{name} does not support complex parameters; take an optimizer that is no matrix rule's"
            )
        if g.layout != torch.strided and hypers.get("weight_decay", 0.0) != 0:
            raise RuntimeError(f"{name}: weight_decay option is not compatible with sparse gradients; set it to 0")
        if p.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"{name}: a step computes its scalars on the host and can't be captured in a CUDA graph; "
                "capture forward and backward, and call step() outside"
            )


def _check_kind(name: str, value: Any, default: Any, optimizer: str) -> None:
    """That a value is of its default's kind: a number, a tuple of as many numbers, or something static."""
    if isinstance(default, (tuple, list)):
        if not isinstance(value, (tuple, list)):
            raise TypeError(f"{optimizer}: {name} must be a tuple like {default}, not {value!r}")
        if len(value) != len(default):
            raise ValueError(
                f"{optimizer}: {name} takes {len(default)} values like {default}, not {len(value)}: {value!r}"
            )
        for one, example in zip(value, default, strict=True):
            _check_kind(name, one, example, optimizer)
    elif isinstance(value, torch.Tensor):
        if value.numel() != 1:
            raise ValueError(
                f"Tensor {name} must be 1-element; {optimizer} was given one of shape {tuple(value.shape)}"
            )
    elif not is_static(default) and (isinstance(value, str) or not _is_number(value)):
        raise TypeError(f"{optimizer}: {name} must be a number, not {value!r}")


def _is_number(value: Any) -> bool:
    try:
        math.isnan(value)
    except TypeError:
        return False
    return True
