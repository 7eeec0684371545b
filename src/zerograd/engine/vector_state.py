"""State that is one vector of all parameters (LBFGS), through torch's own loader.

torch's loader casts every tensor of the state to its parameter's dtype. So tensors travel through it in a holder that
it does not know and leaves alone.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor


class Kept:
    """Holds one value of the state. No tensor and not iterable, hence handed on as it is."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def kept_state(state: Mapping[Any, Any]) -> dict[Any, Any]:
    """A state dict's state with every value in a holder."""
    return {
        key: {name: Kept(value) for name, value in held.items()} if isinstance(held, dict) else held
        for key, held in state.items()
    }


def flat_state(held: Any, params: Sequence[Tensor]) -> Any:
    """State of the kind that one vector of all parameters has, also in lists: copies, in that vector's dtype."""
    if isinstance(held, Tensor):
        dtypes = [p.dtype.to_real() for p in params] or [held.dtype]
        return held.detach().to(device=params[0].device, dtype=functools.reduce(torch.promote_types, dtypes), copy=True)
    if isinstance(held, dict):
        return {name: flat_state(value, params) for name, value in held.items()}
    return [flat_state(value, params) for value in held] if isinstance(held, list) else held
