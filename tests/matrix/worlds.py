"""Pairs of torch's optimizer and ours on parameters of all shapes and dtypes, on equal gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import zerograd as optim

MATRICES = [(5, 3), (3, 5), (3, 5), (1, 7), (7, 1), (16, 16), (16, 16), (40, 300), (64, 1040), (3, 5)]
"""Twice the same, thin, and larger than what is copied into stacks."""
ANYTHING = [*MATRICES, (4,), (), (2, 3, 4), (4,), (3,), (6, 2, 3, 3), (1,)]
SHAPES = {"Muon": MATRICES, "Adafactor": ANYTHING, "SparseAdam": [(50, 3), (7,), (20, 4), (4, 2, 3)]}

needs_muon = "Muon is in torch.optim from 2.9 on"


def parameters(name: str, dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    """One of every shape."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in SHAPES[name]]


def gradients(params: Sequence[Tensor], step: int, name: str) -> list[Tensor | None]:
    """Noise; one parameter joins late, one has no gradient now and then."""
    generator = torch.Generator().manual_seed(1000 + step)
    found: list[Tensor | None] = []
    for index, p in enumerate(params):
        g = (torch.randn(p.shape, generator=generator) * (0.1 + index / 8)).to(p.dtype)
        missing = (index == 1 and step < 2) or (index == 3 and step % 3 == 1)
        if name == "SparseAdam" and not missing:
            at = torch.randint(0, len(g), (1, 5), generator=generator)
            g = torch.sparse_coo_tensor(at, g[at[0]], g.shape, check_invariants=True)
        found.append(None if missing else g)
    return found


def give(params: Sequence[Tensor], step: int, name: str) -> None:
    """Set the gradients of a step, new tensors each time."""
    for p, g in zip(params, gradients(params, step, name), strict=True):
        p.grad = g


def run(optimizer: Any, params: Sequence[Tensor], name: str, steps: range) -> None:
    for step in steps:
        give(params, step, name)
        optimizer.step()


def torchs(name: str) -> type[Any]:
    kind: type[Any] = getattr(torch.optim, name)
    return kind


def ours(name: str) -> type[Any]:
    kind: type[Any] = getattr(optim, name)
    return kind
