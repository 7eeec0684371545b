"""Of two products in a sum one is rounded and the other is not, and it is always the same one."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from zerograd import from_rule
from zerograd.algebra import rule
from zerograd.kernels.cpu import machine

ELEMENTS = 403
"""Whole registers and a rest."""


@rule
def a_sum(g: Any, p: Any, m: Any) -> Any:
    """The first product is rounded, as PyTorch does it: it multiplies a state by its weight in place, and then adds."""
    return g, m * p + g * g


@rule
def a_difference(g: Any, p: Any, m: Any) -> Any:
    """The second product is rounded."""
    return g, m * p - g * g


@pytest.fixture(autouse=True)
def _operations_are_merged() -> None:
    if not machine.fuses():
        pytest.skip("this processor has no operation that merges a product with a sum")


def rounded(exact: Fraction) -> float:
    """The float32 that is nearest: by way of float64 it would be rounded twice."""
    near = np.float32(float(exact))
    around = (near, *(np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)))
    return min(map(float, around), key=lambda x: abs(Fraction(x) - exact))


@pytest.mark.parametrize("kind", [a_sum, a_difference], ids=["sum", "difference"])
def test_one_product_is_rounded(kind: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    p = torch.randn(ELEMENTS, generator=generator).requires_grad_()
    optimizer: Any = from_rule(kind, name="Case", lr=0.1)([p])
    for _ in range(2):  # m is zero before the first step
        p.grad = torch.randn(ELEMENTS, generator=generator)
        optimizer.step()
    factors = [x.detach().tolist() for x in (optimizer.state[p]["m"], p)]
    p.grad = torch.randn(ELEMENTS, generator=generator)
    optimizer.step()
    products = [
        (Fraction(m) * Fraction(x), Fraction(g) * Fraction(g))
        for m, x, g in zip(*factors, p.grad.tolist(), strict=True)
    ]
    sign = 1 if kind is a_sum else -1
    first = [rounded(Fraction(rounded(x)) + sign * y) for x, y in products]
    second = [rounded(x + sign * Fraction(rounded(y))) for x, y in products]
    assert first != second, "else it could not be told which one is rounded"
    assert optimizer.state[p]["m"].tolist() == (first if kind is a_sum else second)
