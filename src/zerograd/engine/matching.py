"""Which saved entry belongs to which parameter: by name where both sides have names, else by position as in torch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

Group = Mapping[str, Any]

WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What DistributedDataParallel, torch.compile, FSDP and activation checkpointing put into the names of a model."""


@dataclass
class Match:
    """What a checkpoint's entries are for.

    pairs: each parameter with its key in the saved state, None where the checkpoint does not know it. groups: for each
    group of the optimizer the saved one whose options it takes, or None. labels: what each parameter is called in
    messages, by its id. known: all keys of the checkpoint's groups. missing, unexpected: parameters of one side only.
    dropped: keys whose state is left out, because it does not fit.
    """

    groups: list[Group | None]
    pairs: list[tuple[Tensor, Hashable | None]] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    known: set[Hashable] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    dropped: set[Hashable] = field(default_factory=set)


def matched(own: Sequence[Group], saved: Sequence[Group], caller: str, *, strict: bool) -> Match:
    """Pair the optimizer's groups with a checkpoint's.

    Raises ValueError where that can't be done: by position, if the numbers differ and strict; by name, if a group
    would take its options from saved groups that do not agree.
    """
    saved = [_with_names_in_order(group) for group in saved]
    exact, bare = ((_names(own, told), _names(saved, told)) for told in (str, _bare))
    for mine, theirs in (exact, bare):
        if mine and theirs and mine.keys() == theirs.keys():
            return _by_name(own, saved, mine, theirs, caller)
    mine, theirs = bare
    if mine and theirs and not mine.keys().isdisjoint(theirs):
        return _by_name(own, saved, mine, theirs, caller)
    return _by_position(own, saved, caller, strict)  # without a name in common they tell nothing


def _with_names_in_order(group: Group) -> Group:
    """A saved group whose keys are names, as torch.distributed.checkpoint makes them: it puts the keys into the
    optimizer's order and leaves ``param_names`` in the order in which they were saved."""
    keys = group["params"]
    if "param_names" in group and keys and all(isinstance(key, str) for key in keys):
        return {**group, "param_names": list(keys)}
    return group


def _names(groups: Sequence[Group], told: Callable[[str], str]) -> dict[str, tuple[int, int]] | None:
    """Where each name stands: group and place in it. None unless names tell all parameters apart."""
    found: dict[str, tuple[int, int]] = {}
    count = 0
    for index, group in enumerate(groups):
        names = group.get("param_names")
        if group["params"] and (names is None or len(names) != len(group["params"])):
            return None
        for at, name in enumerate(names or ()):
            found[told(name)] = (index, at)
            count += 1
    return found if count == len(found) > 0 else None


def _bare(name: str) -> str:
    """A name without what wrappers put in."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in WRAPPERS:
        parts.pop(0)
    return ".".join(part for part in parts if not (part.startswith("_") and part in WRAPPERS))


def _by_name(
    own: Sequence[Group],
    saved: Sequence[Group],
    mine: Mapping[str, tuple[int, int]],
    theirs: Mapping[str, tuple[int, int]],
    caller: str,
) -> Match:
    match = Match([None] * len(own), known={key for group in saved for key in group["params"]})
    sources: list[list[int]] = [[] for _ in own]
    for name, (index, at) in mine.items():
        p = own[index]["params"][at]
        match.labels[id(p)] = name
        place = theirs.get(name)
        if place is None:
            match.missing.append(name)
            match.pairs.append((p, None))
            continue
        match.pairs.append((p, saved[place[0]]["params"][place[1]]))
        if place[0] not in sources[index]:
            sources[index].append(place[0])
    match.unexpected = [name for name in theirs if name not in mine]
    for index, group in enumerate(own):
        if sources[index]:
            match.groups[index] = _agreed(index, [saved[i] for i in sources[index]], sources[index], caller)
        elif not group["params"] and len(own) == len(saved):
            match.groups[index] = _without_names(saved[index])
    return match


def _agreed(index: int, saved: Sequence[Group], numbers: Sequence[int], caller: str) -> Group:
    """The options of saved groups of which all go into one group of the optimizer."""
    first = _without_names(saved[0])
    for number, other in zip(numbers[1:], saved[1:], strict=True):
        rest = _without_names(other)
        for key in {**first, **rest}:
            if key != "params" and (key not in first or key not in rest or not _same(first[key], rest[key])):
                raise ValueError(
                    f"{caller}: parameter group {index} has parameters of groups {numbers[0]} and {number} of the "
                    f"checkpoint, whose {key} differ: {first.get(key)!r} and {rest.get(key)!r}; split the group as in "
                    "the checkpoint, or make them the same in state_dict['param_groups']. Nothing was loaded"
                )
    return first


def _without_names(group: Group) -> Group:
    """A group without the names, whose order is the checkpoint's: the optimizer has its own."""
    return {key: value for key, value in group.items() if key != "param_names"}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and bool(a == b)


def _by_position(own: Sequence[Group], saved: Sequence[Group], caller: str, strict: bool) -> Match:
    if strict:
        _check_numbers(own, saved, caller)
    match = Match([*saved[: len(own)], *([None] * (len(own) - len(saved)))])
    match.known = {key for group in saved for key in group["params"]}
    number = 0
    for index, group in enumerate(own):
        keys = list(saved[index]["params"]) if index < len(saved) else []
        names = group.get("param_names") or (saved[index].get("param_names") if index < len(saved) else None) or ()
        for at, p in enumerate(group["params"]):
            label = match.labels[id(p)] = str(names[at]) if at < len(names) else str(number)
            number += 1
            match.pairs.append((p, keys[at] if at < len(keys) else None))
            if at >= len(keys):
                match.missing.append(label)
        if len(keys) != len(group["params"]) and match.groups[index] is not None:
            match.groups[index] = _without_names(saved[index])
    for index, theirs in enumerate(saved):
        names = theirs.get("param_names") or ()
        taken = len(own[index]["params"]) if index < len(own) else 0
        for at, key in enumerate(theirs["params"][taken:], start=taken):
            match.unexpected.append(str(names[at]) if at < len(names) else str(key))
    return match


def _check_numbers(own: Sequence[Group], saved: Sequence[Group], caller: str) -> None:
    cure = (
        "build the optimizer with the groups of the checkpoint, or load what fits with strict=False. Nothing was loaded"
    )
    if len(own) != len(saved):
        raise ValueError(
            f"loaded state dict has a different number of parameter groups: {len(saved)}, and {caller} has "
            f"{len(own)}; {cure}"
        )
    for index, (mine, theirs) in enumerate(zip(own, saved, strict=True)):
        if len(mine["params"]) != len(theirs["params"]):
            raise ValueError(
                "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                f"group {index} has {len(theirs['params'])} parameters there, and {len(mine['params'])} in {caller}; "
                f"{cure}"
            )
