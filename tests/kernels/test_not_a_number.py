"""nan and infinities go where IEEE 754 sends them: through maximum, minimum and clamp, and not through sign."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from zerograd import ADOPT, AdamW, algebra, from_rule

NAN, INF = math.nan, math.inf
G = [NAN, INF, -INF, 0.0, 2.0]


def step(text: str, dtype: torch.dtype) -> list[float]:
    """What a rule that returns this as the new parameter makes of p = 1, for each of the gradients."""
    p = torch.ones(len(G), dtype=dtype).requires_grad_()
    p.grad = torch.tensor(G, dtype=dtype)
    function = eval(f"lambda g, p, *, lr, zero=0.0, minus=-1.0, nan=float('nan'): {text}", vars(algebra))
    optimizer: Any = from_rule(function, name="Made", lr=0.1)([p])
    optimizer.step()
    return [round(x, 4) for x in p.tolist()]


LAWS = {
    "maximum(g, 1.0)": [NAN, INF, 1.0, 1.0, 2.0],
    "maximum(p, g)": [NAN, INF, 1.0, 1.0, 2.0],
    "maximum(g, nan)": [NAN] * 5,
    "minimum(1.0, g)": [NAN, 1.0, -INF, 0.0, 1.0],
    "minimum(g, p)": [NAN, 1.0, -INF, 0.0, 1.0],
    "minimum(g, nan)": [NAN] * 5,
    "clamp(g, -1.0, 1.0)": [NAN, 1.0, -1.0, 0.0, 1.0],
    "clamp(g, -p, p)": [NAN, 1.0, -1.0, 0.0, 1.0],
    "sign(g)": [0.0, 1.0, -1.0, 0.0, 1.0],
    "sqrt(g)": [NAN, INF, NAN, 0.0, 1.4142],
    "log(g)": [NAN, INF, NAN, -INF, 0.6931],
    "abs(g)": [NAN, INF, INF, 0.0, 2.0],
    "where(g > 1, 3.0, 4.0)": [4.0, 3.0, 4.0, 4.0, 3.0],
    "where(g != g, 3.0, 4.0)": [3.0, 4.0, 4.0, 4.0, 4.0],
    "where(g > 0, p / g, 5.0)": [5.0, 0.0, 5.0, 5.0, 0.5],
    "g * where(minus < 0, 1, sqrt(minus))": [NAN, INF, -INF, 0.0, 2.0],
    "p / zero": [INF] * 5,
    "p / maximum(norm(g), 1.0)": [NAN] * 5,
    "p * where(total(g) > 0, 2, 3)": [3.0] * 5,
    "p * (sign(total(g)) + 4)": [4.0] * 5,
    "p * where(minus < 0, 2, total(g))": [2.0] * 5,
    "lerp(g, p, 0.25)": [NAN, NAN, NAN, 0.25, 1.75],
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("text", LAWS)
def test_what_is_not_finite_goes_its_way(text: str, dtype: torch.dtype) -> None:
    got, wanted = torch.tensor(step(text, dtype)), torch.tensor(LAWS[text])
    assert torch.equal(got.isnan(), wanted.isnan()), f"{got} instead of {wanted}"
    assert torch.equal(got[~got.isnan()], wanted[~wanted.isnan()]), f"{got} instead of {wanted}"


def test_a_clamp_between_numbers_of_the_host_lets_nan_through() -> None:
    """ADOPT's limit: with a printer's `a if a > b else b`, a nan in the gradient would become the limit."""
    p = torch.ones(2).requires_grad_()
    optimizer = ADOPT([p], lr=0.1)
    for g in ([1.0, 1.0], [NAN, 1.0]):
        p.grad = torch.tensor(g)
        optimizer.step()
    assert p[0].isnan()
    assert p[1].isfinite()


def test_a_nan_stays_in_its_element() -> None:
    def run(g: Tensor) -> Tensor:
        p = torch.ones(4).requires_grad_()
        optimizer = AdamW([p], lr=0.1)
        for _ in range(2):
            p.grad = g.clone()
            optimizer.step()
        return p.detach()

    clean, dirty = run(torch.ones(4)), run(torch.tensor([1.0, NAN, 1.0, 1.0]))
    assert dirty[1].isnan()
    assert torch.equal(clean[[0, 2, 3]], dirty[[0, 2, 3]])
