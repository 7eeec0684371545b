"""Loading a state dict: hooks in torch's order, everything checked before anything is changed, no dtype touched.

torch's loader pairs parameters by position only, never looks at shapes, and casts every tensor of the state to its
parameter's dtype: float32 averages of bfloat16 parameters are rounded, integer codes destroyed. So this is a loader of
its own, which takes the same dictionaries and calls the same hooks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.notation import Rule
from zerograd.algebra.states import Scalar
from zerograd.engine.incompatible import IncompatibleKeys, misfits, refusal
from zerograd.engine.matching import Match, matched
from zerograd.engine.state_formats import Choices
from zerograd.engine.storing import refuse_broken, stored

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


def load(optimizer: RuleOptimizer, state_dict: Mapping[str, Any], strict: bool) -> IncompatibleKeys:
    """Put a state dict into the optimizer; what ``RuleOptimizer.load_state_dict`` says."""
    name = f"{type(optimizer).__name__}.load_state_dict()"
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"{name} takes what state_dict() gave, a dictionary, not {type(state_dict).__name__}")
    loaded: Any = dict(state_dict)
    for hook in optimizer._optimizer_load_state_dict_pre_hooks.values():
        changed = hook(optimizer, loaded)
        if changed is not None:
            loaded = changed
    for key in ("state", "param_groups"):
        if key not in loaded:
            raise KeyError(
                f"{name}: {key!r} is missing, there is {', '.join(map(repr, loaded)) or 'nothing'}; "
                "pass the part of the checkpoint that optimizer.state_dict() gave"
            )
    match = matched(optimizer.param_groups, loaded["param_groups"], name, strict=strict)
    groups = [_group(optimizer, own, saved) for own, saved in zip(optimizer.param_groups, match.groups, strict=True)]
    report = misfits(optimizer, match, groups, loaded["state"])
    if strict and report:
        raise ValueError(refusal(name, report))
    state = _state(optimizer, match, groups, loaded["state"])
    optimizer.__setstate__({"state": state, "param_groups": groups})
    for after in optimizer._optimizer_load_state_dict_post_hooks.values():
        after(optimizer)
    return report


def stray_parameters(optimizer: RuleOptimizer) -> list[tuple[int, ...]]:
    """The shapes of parameters that have state but stand in no group, so that a checkpoint has no number for them."""
    grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    return [tuple(p.shape) for p in optimizer.state if isinstance(p, Tensor) and id(p) not in grouped]


def _group(optimizer: RuleOptimizer, own: dict[str, Any], saved: Mapping[str, Any] | None) -> dict[str, Any]:
    """A group as it is after loading: the saved one's keys, and those of its own that the saved one lacks."""
    if saved is None:
        return dict(own)
    group = {**deepcopy({k: v for k, v in saved.items() if k != "params"}), "params": own["params"]}
    group.pop("state_format", None)  # how states are stored is this optimizer's choice
    running = optimizer._group_rule(own).states  # numbers that go with the state: the saved ones or none
    for key, value in own.items():
        if key not in running:
            group.setdefault(key, value)
    return {**group, **optimizer.group_keys}


def _state(
    optimizer: RuleOptimizer, match: Match, groups: list[dict[str, Any]], saved: Mapping[Any, Any]
) -> defaultdict[Any, Any]:
    """Copies of the saved states under the parameters they are for; what is for no parameter stays as it is."""
    state: defaultdict[Any, Any] = defaultdict(dict)
    rules = {id(p): optimizer._group_rule(group) for group in groups for p in group["params"]}
    wanted = {id(p): choices for group, choices in _choices(optimizer, groups) for p in group["params"]}
    for p, key in match.pairs:
        if key in match.dropped or key is None:
            if p in optimizer.state:
                state[p] = optimizer.state[p]
        elif key in saved:
            caller, rule = f"{type(optimizer).__name__}.load_state_dict()", rules[id(p)]
            held = _filled(saved[key], rule)
            refuse_broken(held, (n for n, spec in rule.states.items() if not isinstance(spec, Scalar)), caller)
            state[p] = stored(settled(p, held, rule), p, wanted[id(p)], caller)
    for key, held in saved.items():
        if key not in match.known:
            state[key] = held
    return state


def _filled(held: Any, rule: Rule) -> Any:
    """One parameter's state without what torch.distributed.checkpoint puts into it, when it makes one of a flat
    dictionary, for a parameter that never had a gradient: an empty dictionary in the place of each state."""
    if not isinstance(held, dict):
        return held
    return {
        name: v for name, v in held.items() if type(v) is not dict or v or not (name == "step" or name in rule.states)
    }


def _choices(optimizer: RuleOptimizer, groups: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Choices | None]]:
    for group in groups:
        graph = optimizer._programs(group).find(optimizer._hypers(group)).graph
        yield group, optimizer._state_choices.of(group, graph)


@torch.no_grad()
@torch.inference_mode(False)
def settled(p: Tensor, held: Any, rule: Rule) -> Any:
    """A copy of one parameter's state: tensors on its device, laid out like it, in the dtype that they have."""
    if not isinstance(held, dict):
        return _copied(p, held)
    dense = {name: _dense(value) if name in rule.states else value for name, value in held.items()}
    return {name: _copied(p, value, _lives_on_the_host(name, value, p, rule)) for name, value in dense.items()}


def _dense(value: Any) -> Any:
    """torch's SGD keeps a momentum of sparse gradients sparse, and can then take no others; here it is dense."""
    return value.to_dense() if isinstance(value, Tensor) and value.layout == torch.sparse_coo else value


def _lives_on_the_host(name: Hashable, value: Any, p: Tensor, rule: Rule) -> bool:
    """One number for a parameter does; one of a 0-dim parameter's own kind is told by its name."""
    if not isinstance(value, Tensor) or value.dim() > 0:
        return False
    spec = rule.states.get(str(name))
    return name == "step" or isinstance(spec, Scalar) or p.dim() > 0 or (spec is None and value.dtype != p.dtype)


def _copied(p: Tensor, value: Any, host: bool = False) -> Any:
    if isinstance(value, Tensor):
        if host:
            return value.detach().clone().cpu()
        value = value.detach()
        alike = type(value) is Tensor and value.shape == p.shape and value.stride() != p.stride()
        if alike and value.layout == p.layout == torch.strided and type(p) in (Tensor, torch.nn.Parameter):
            return torch.empty_like(p, dtype=value.dtype).copy_(value)  # kernels walk through both in one order
        return value.to(device=p.device, copy=True)
    if type(value) is dict:
        return {key: _copied(p, one) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_copied(p, one) for one in value)
    return value
