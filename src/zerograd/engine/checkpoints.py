"""Loading state without a change of dtype.

torch's loader casts every tensor of the state to its parameter's dtype: float32 averages of bfloat16 parameters are
rounded, integer codes destroyed. So tensors travel through it in a holder that it does not know and leaves alone.
"""

from __future__ import annotations

import functools
from collections import defaultdict
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


def settled_state(state: Mapping[Any, Any]) -> defaultdict[Any, Any]:
    """The state with its values out of their holders: copies, tensors like the parameter on the parameter's device."""
    settled: defaultdict[Any, Any] = defaultdict(dict)
    for p, held in state.items():
        if isinstance(held, dict):
            settled[p] = {name: _settled(p, v.value if isinstance(v, Kept) else v) for name, v in held.items()}
        else:
            settled[p] = held
    return settled


def _settled(p: Any, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.dim() == 0 and (not isinstance(p, Tensor) or p.dim() > 0 or value.dtype != p.dtype):
        return value.detach().clone().cpu()  # one number for a parameter lives on the host
    device = p.device if isinstance(p, Tensor) else value.device
    return value.detach().to(device=device, copy=True)


def flat_state(held: Any, params: Sequence[Tensor]) -> Any:
    """State of the kind that one vector of all parameters has, also in lists: copies, in that vector's dtype."""
    if isinstance(held, Tensor):
        dtypes = [p.dtype.to_real() for p in params] or [held.dtype]
        return held.detach().to(device=params[0].device, dtype=functools.reduce(torch.promote_types, dtypes), copy=True)
    if isinstance(held, dict):
        return {name: flat_state(value, params) for name, value in held.items()}
    return [flat_state(value, params) for value in held] if isinstance(held, list) else held
