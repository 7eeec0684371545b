"""Groups of 8-bit states that are nan: a number that has no code took all the elements of its group with it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from zerograd.formats.blocks import BLOCKS

_SCALES = re.compile(rf"(.+)_scale_({'|'.join(BLOCKS)})_\d+")

Poisoned = tuple[Tensor, str, int]
"""A parameter, the name of a state of it, and how many groups of that are nan."""


def poisoned(state: Mapping[Any, Any]) -> list[Poisoned]:
    """The states in 8 bits that are nan in some groups. Only the scales are read, which are a hundredth of them."""
    scales = [
        (p, match[1], value)
        for p, held in state.items()
        if isinstance(held, Mapping)
        for key, value in held.items()
        if isinstance(value, Tensor) and value.numel() and (match := _SCALES.fullmatch(str(key)))
    ]
    if not scales or math.isfinite(sum(float(one) for one in torch._foreach_norm([value for *_, value in scales], 1))):
        return []
    found = [(p, name, int(value.isnan().sum())) for p, name, value in scales]
    return [one for one in found if one[2]]


def in_words(found: Sequence[Poisoned], names: Mapping[int, str]) -> str:
    """``exp_avg_sq of weight (2 groups), ...``. names: of the parameters, by their id."""
    return ", ".join(
        f"{state} of {names.get(id(p), 'a parameter in no group')} ({count} group{'s' if count != 1 else ''})"
        for p, state, count in found
    )
