"""Checks of hyper-parameters, before anything is changed.

The standard names are checked the same for every rule, with torch's messages; a rule adds its own conditions with
``@rule.requires``. Exceptions are torch's: ValueError for a bad value, TypeError for something that is no number.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.notation import Policy, Rule
from zerograd.algebra.states import Start
from zerograd.algebra.tracing import is_static

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

_NOT_NEGATIVE = {
    "lr": "Invalid learning rate: {}",
    "eps": "Invalid epsilon value: {}",
    "momentum": "Invalid momentum value: {}",
    "weight_decay": "Invalid weight_decay value: {}",
}


OTHER_NAMES = {"learning_rate": "lr", "epsilon": "eps", "decay": "weight_decay", "wd": "weight_decay"}
"""What other frameworks call the same thing."""

UNMISTAKABLE = ("learning_rate", "epsilon")
"""Those of them that nobody gives a key of his own: groups are marked ``{"decay": False}`` for other reasons."""

NEARLY_THE_SAME = 0.86
"""Keys of schedulers and layers, such as lr_scale, initial_lr or max_momentum, are less like any hyper-parameter."""


POLICY = "decay_policy"
"""The key of a group to which the user gave a weight-decay policy of its own."""


class TooFewValuesError(ValueError, IndexError):
    """A tuple of hyper-parameters is too short: a bad value, and the IndexError that torch.optim runs into."""


def warn_of_misspelt(group: Iterable[str], known: Iterable[str], optimizer: str) -> None:
    """Warn of keys of a group that have no effect but look as if they were meant to; others are the user's own."""
    known = list(known)
    for key in group:
        if not isinstance(key, str) or key in known:
            continue
        near = max(known, key=lambda name: _likeness(key, name))
        meant = (
            near if _likeness(key, near) >= NEARLY_THE_SAME else OTHER_NAMES.get(key) if key in UNMISTAKABLE else None
        )
        if meant in known:
            message = f"{optimizer}: a parameter group has the key {key!r}, which does nothing; did you mean {meant!r}?"
            warnings.warn(message, UserWarning, stacklevel=3)


def _likeness(a: str, b: str) -> float:
    return SequenceMatcher(None, a, b).ratio()


def needed_keys(optimizer: RuleOptimizer) -> list[str]:
    """The keys that every group must have for a step: torch.optim's step reads them all. Not what a state starts with,
    and not the extras, which stand in no group."""
    starts = {spec.name for spec in optimizer.rule.states.values() if isinstance(spec, Start)} - {"lr"}
    names = (*optimizer.order, *optimizer.group_keys)
    return [name for name in names if name in optimizer.defaults and name not in starts]


def check_keys(optimizer: RuleOptimizer) -> None:
    """Raise KeyError for a group that lacks a key, as torch.optim's step does."""
    needed = needed_keys(optimizer)
    for index, group in enumerate(optimizer.param_groups):
        for key in needed:
            if key not in group:
                raise KeyError(
                    f"{type(optimizer).__name__}: {key!r} is missing in parameter group {index}; put it back, such as "
                    f"optimizer.param_groups[{index}][{key!r}] = optimizer.defaults[{key!r}]"
                )


def check_groups(optimizer: RuleOptimizer) -> None:
    """Check the hyper-parameters of all groups as they are now; raises what ``check_hypers`` does."""
    for index, group in enumerate(optimizer.param_groups):
        if any(isinstance(value, Policy) for key, value in group.items() if key != POLICY):
            continue  # the step itself says where a policy belongs
        name = f"{type(optimizer).__name__}, group {index}" if index else type(optimizer).__name__
        check_hypers(optimizer._group_rule(group), optimizer._hypers(group), name)


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


def check_tensors(
    optimizer: RuleOptimizer, live: Sequence[Tensor], grads: Sequence[Tensor], hypers: Mapping[str, Any]
) -> None:
    """Raise RuntimeError for a parameter or gradient that the optimizer can't take in this step."""
    name = type(optimizer).__name__
    only, dense = optimizer.sparse == "only", [g.layout == torch.strided for g in grads]
    if not all(dense):
        if optimizer.sparse is None:
            raise RuntimeError(f"{name} does not support sparse gradients, please consider SparseAdam instead")
        if hypers.get("weight_decay", 0.0) != 0:
            raise RuntimeError(f"{name}: weight_decay option is not compatible with sparse gradients; set it to 0")
    if only and any(dense):
        raise RuntimeError(f"{name} does not support dense gradients, please consider Adam instead")
    if not optimizer.rule.elementwise and any(p.is_complex() for p in live):
        raise RuntimeError(f"{name} does not support complex parameters; take an optimizer that is no matrix rule's")
    if any(p.is_meta for p in live) and any(group.get("fused") for group in optimizer.param_groups):
        raise RuntimeError(
            f"{name}: `fused=True` requires all the params to be floating point Tensors of devices that hold numbers, "
            "but one is on meta; give the model memory first (model.to_empty(device=...)), or leave fused out"
        )
    if any(p.is_cuda for p in live) and torch.cuda.is_current_stream_capturing():
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
            wrong = TooFewValuesError if len(value) < len(default) else ValueError
            raise wrong(f"{optimizer}: {name} takes {len(default)} values like {default}, not {len(value)}: {value!r}")
        for i, (one, example) in enumerate(zip(value, default, strict=True)):
            _check_kind(f"{name}[{i}]", one, example, optimizer)
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
