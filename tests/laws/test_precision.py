"""Law: a step is as exact as its storage: float32 a few units in the last place, half precision one rounding.

The reference computes in float64 from the very state that ours holds (rounded to its dtype), so what is measured is
the error of one step and nothing that grew.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from laws.lockstep import Pair
from laws.table import ROWS, TORCH, Config, Row, label

EPS32 = torch.finfo(torch.float32).eps
HALF = [torch.bfloat16, torch.float16]


def corners(rows: list[Row]) -> list[tuple[Row, Config]]:
    """The first and the last configuration of each row, and every fifth between: flags off, on, and mixed."""
    return [(row, c) for row in rows for c in {id(c): c for c in [*row.configs[::5], row.configs[-1]]}.values()]


pytestmark = pytest.mark.usefixtures("double")


def spacing(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The distance of neighbouring numbers of ``dtype`` at x."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(x.abs().clamp_min(info.tiny)))
    return torch.exp2(exponent) * info.eps


def check(pair: Pair, bound: Any, steps: int = 12) -> None:
    """After each of some steps in lock-step, every value is within bound(exact, largest number that took part).

    The gradient takes part too where decay is added to it: their sum may cancel, and keeps the error of the larger.
    """
    decays = any(group.get("weight_decay") for group in pair.ours.param_groups)
    for _ in range(steps):
        pair.transplant()
        before = {where: value.double().abs() for where, value, _ in pair.values()}
        pair.step()
        for where, exact, ours in pair.values():
            exact, ours = exact.double(), ours.double()
            largest = torch.maximum(before.get(where, exact.abs()), exact.abs())
            if decays and exact.dim() and where[-1].isdigit() and (g := pair.params[int(where[-1])].grad) is not None:
                largest = torch.maximum(largest, g.double().abs())
            excess = (ours - exact).abs() / bound(exact, largest)
            assert not excess.numel() or excess.max() <= 1, f"{where}: {excess.max().item():.3g} times the bound"


@pytest.mark.parametrize("case", corners(list(ROWS.values())), ids=label)
def test_float32_is_a_few_ulps_from_the_exact_step(case: tuple[Row, Config]) -> None:
    row, config = case
    pair = Pair(row, config, torch.float32)
    check(pair, lambda _, largest: row.ulps * EPS32 * largest + torch.finfo(torch.float32).tiny)


@pytest.mark.parametrize("case", corners(TORCH), ids=label)
def test_float32_is_a_few_ulps_from_torchs_loop(case: tuple[Row, Config]) -> None:
    row, config = case
    pair = Pair(row, config, torch.float32, reference_dtype=torch.float32)
    # torch's loop is as far from the exact step as ours may be.
    check(pair, lambda _, largest: 2 * row.ulps * EPS32 * largest + torch.finfo(torch.float32).tiny)


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("case", corners([row for row in ROWS.values() if row.optimizer.rule.elementwise]), ids=label)
def test_half_precision_is_one_rounding_of_the_exact_step(case: tuple[Row, Config], dtype: torch.dtype) -> None:
    # Rules on whole matrices compute in the dtype of their tensors, as torch does: see tests/matrix.
    row, config = case
    pair = Pair(row, config, dtype)

    def bound(exact: Tensor, largest: Tensor) -> Tensor:
        # Half a unit of the storage, plus what float32 arithmetic may have been off before that rounding.
        return 0.5 * spacing(exact, dtype) + row.ulps * EPS32 * largest + 1e-12

    check(pair, bound)
