"""Runs of a small model that the tests of loading share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

SHAPES: dict[str, tuple[int, ...]] = {"fc.weight": (3, 4), "fc.bias": (3,), "scale": (), "head.weight": (2, 3)}


def noise(seed: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def named(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Parameters by name, always with the same values."""
    return {name: noise(i, shape, dtype).requires_grad_() for i, (name, shape) in enumerate(SHAPES.items())}


def copied(params: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: p.detach().clone().requires_grad_() for name, p in params.items()}


def go_on(optimizer: Any, params: dict[str, Tensor], steps: Sequence[int]) -> None:
    """Steps on gradients that hang on the name of the parameter and the number of the step alone."""
    for step in steps:
        for i, name in enumerate(SHAPES):
            if name in params:
                params[name].grad = noise(1000 + 10 * step + i, tuple(params[name].shape), params[name].dtype)
        optimizer.step()


def through_a_file(state_dict: Any) -> Any:
    """As torch.save writes it and torch.load reads it with nothing but tensors and plain objects allowed."""
    buffer = io.BytesIO()
    torch.save(state_dict, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def values(params: dict[str, Tensor]) -> list[Tensor]:
    return [params[name].detach() for name in sorted(params)]


def held(optimizer: Any, params: dict[str, Tensor]) -> dict[str, Any]:
    """Copies of all states, by parameter.state."""
    found = {}
    for name, p in params.items():
        for key, value in optimizer.state.get(p, {}).items():
            found[f"{name}.{key}"] = value.detach().clone() if isinstance(value, Tensor) else value
    return found


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return a.keys() == b.keys() and all(
        torch.equal(x, b[k]) and x.dtype == b[k].dtype if isinstance(x, Tensor) else x == b[k] for k, x in a.items()
    )
