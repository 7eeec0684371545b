"""Two optimizers walked side by side, and one on a single number: what the tests of the oracles share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

import oracles
from oracles import Reference

ONLY_MATRICES = ("Muon",)
CLASSES: list[type[Reference]] = [
    getattr(oracles, name) for name in oracles.__all__ if name not in ("Reference", "evaluation_point", *ONLY_MATRICES)
]
SHAPES = [(3, 4), (5,), ()]


def tensors(seed: int, scale: float = 1.0) -> list[Tensor]:
    """A matrix, a vector and a scalar of normal numbers."""
    rng = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=rng, dtype=torch.float64) for shape in SHAPES]


def twice(seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """The same parameters twice."""
    return [p.requires_grad_() for p in tensors(seed)], [p.requires_grad_() for p in tensors(seed)]


def give(params: list[Tensor], grads: list[Tensor]) -> None:
    """Hand each parameter its own copy of a gradient."""
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()


def walk(
    mine: list[Tensor], theirs: list[Tensor], one: Any, other: Any, scale: Callable[[int], float]
) -> Iterator[int]:
    """Step both optimizers with the same gradients, comparing the parameters after each step."""
    for t in range(1, 13):
        grads = tensors(100 + t, scale(t))
        give(mine, grads)
        give(theirs, grads)
        one.step()
        other.step()
        for p, q in zip(mine, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)
        yield t


def same(one: Callable[[Any], Any], other: Callable[[Any], Any], scale: Callable[[int], float]) -> None:
    """The two optimizers move equal parameters equally."""
    mine, theirs = twice()
    assert list(walk(mine, theirs, one(mine), other(theirs), scale))[-1] == 12
    assert not torch.equal(mine[0], tensors(0)[0])


def wavy(t: int) -> float:
    return 1.9 if t % 2 == 0 else 0.1


def scalar_run(cls: type[Reference], start: float, gradients: list[float], **hyper: Any) -> Reference:
    """An oracle of one scalar parameter after the given gradients."""
    p = torch.tensor(start, dtype=torch.float64)
    oracle = cls([p], **hyper)
    for g in gradients:
        p.grad = torch.tensor(g, dtype=torch.float64)
        oracle.step()
    return oracle


def value(oracle: Reference, name: str | None = None) -> float:
    """The single parameter of an oracle, or one of its states."""
    p: Tensor = oracle.param_groups[0]["params"][0]
    x: Tensor = p if name is None else oracle.state[p][name]
    return float(x.item())
