"""What of a checkpoint does not fit: parameters of one side only, and states of another shape or another rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Size, Tensor

from zerograd.algebra.states import Part, Scalar, StateSpec
from zerograd.engine.matching import Match

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class IncompatibleKeys(_Keys):
    """What ``load_state_dict(..., strict=False)`` left out; a pair as ``torch.nn.Module.load_state_dict`` gives it.

    missing_keys: parameters of the optimizer (by name, or by number where they have none) that the checkpoint does not
    know, and states (parameter.state) that it lacks. unexpected_keys: those that only the checkpoint has.
    mismatched_keys: (parameter.state, its shape there, the shape that it must have here). True if any is not empty.
    """

    mismatched_keys: list[tuple[str, Size, Size]]

    def __new__(cls, missing_keys: list[str], unexpected_keys: list[str]) -> IncompatibleKeys:
        made = super().__new__(cls, missing_keys, unexpected_keys)
        made.mismatched_keys = []
        return made

    def __bool__(self) -> bool:
        return any((self.missing_keys, self.unexpected_keys, self.mismatched_keys))

    def __repr__(self) -> str:
        if not self:
            return "<All keys matched successfully>"
        lists = {**self._asdict(), "mismatched_keys": self.mismatched_keys}
        return f"IncompatibleKeys({', '.join(f'{name}={value}' for name, value in lists.items() if value)})"

    __str__ = __repr__


def misfits(
    optimizer: RuleOptimizer, match: Match, groups: Sequence[Mapping[str, Any]], saved: Mapping[Any, Any]
) -> IncompatibleKeys:
    """Compare the saved states with their parameters; the keys of states that do not fit go into ``match.dropped``."""
    keys = IncompatibleKeys([*match.missing], [*match.unexpected])
    group_of = {id(p): group for group in groups for p in group["params"]}
    needed: dict[int, list[str]] = {}
    for p, key in match.pairs:
        held = saved.get(key) if key is not None else None
        if not isinstance(held, dict):
            continue
        group = group_of[id(p)]
        if id(group) not in needed:
            needed[id(group)] = _always_there(optimizer, group)
        if not _fits(optimizer, group, p, held, match.labels[id(p)], needed[id(group)], keys):
            match.dropped.add(key)
    return keys


def _fits(
    optimizer: RuleOptimizer,
    group: Mapping[str, Any],
    p: Tensor,
    held: Mapping[str, Any],
    label: str,
    needed: Sequence[str],
    keys: IncompatibleKeys,
) -> bool:
    """Whether one parameter's state can be taken as it is; what can't goes into the lists."""
    specs = optimizer._group_rule(group).states
    fits = True
    for name, value in held.items():
        number = name == "step" or isinstance(specs.get(name), Scalar)
        if not isinstance(value, Tensor) or not (number or name in specs):
            continue
        wanted = Size() if number else Size(_shape(specs[name], p) or ())
        if value.numel() != 1 if number else value.shape != wanted:
            keys.mismatched_keys.append((f"{label}.{name}", value.shape, wanted))
            fits = False
    there = {name for name, value in held.items() if value is not None and name != "step"}
    needed = [name for name in needed if _shape(specs[name], p) is not None]
    if there and needed and (lacking := [name for name in needed if name not in there]):
        keys.missing_keys.extend(f"{label}.{name}" for name in lacking)
        if len(lacking) == len(needed):  # none of them: another rule's
            keys.unexpected_keys.extend(f"{label}.{name}" for name in sorted(there - specs.keys()))
        fits = False
    return fits


def _shape(spec: StateSpec, p: Tensor) -> Sequence[int] | None:
    """The shape of a state of a parameter; None if such a parameter has none of it."""
    return spec.shape(tuple(p.shape)) if isinstance(spec, Part) else p.shape


def _always_there(optimizer: RuleOptimizer, group: Mapping[str, Any]) -> list[str]:
    """The states that a parameter has after any step: with the class's own flags and with those of the group.

    A state that a flag brings may be absent: the flag may have been set after the last step before saving.
    """
    programs = optimizer._programs(group)
    with_flags = programs.find(optimizer._hypers(group)).graph.tensor_states
    plain = programs.find({**programs.rule.hypers, "lr": group["lr"]}).graph.tensor_states
    return [name for name in with_flags if name in plain]


def refusal(caller: str, keys: IncompatibleKeys) -> str:
    """The error for a checkpoint that does not fit."""
    parts = [f"{caller}: the checkpoint does not fit this optimizer's parameters; nothing was loaded."]
    if keys.missing_keys:
        parts.append(f"missing in the checkpoint: {', '.join(keys.missing_keys)}.")
    if keys.unexpected_keys:
        parts.append(f"unexpected in the checkpoint: {', '.join(keys.unexpected_keys)}.")
    for name, there, here in keys.mismatched_keys:
        parts.append(f"wrong shape: {name} is {tuple(there)}, here it must be {tuple(here)}.")
    parts.append("Load what fits with strict=False, or rename the entries in a load_state_dict pre-hook.")
    return "\n  ".join(parts)
