"""Every rule of the library, printed as foreach calls, computes what the interpreter computes, in every layout.

Tolerances: the foreach calls round in another order, a unit or two in the last place of each operation; where terms of
either sign are summed (Prodigy, centred RMSprop, RAdam's rate) a few digits of that are lost. A wrong formula is off by
the size of the values, which is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from algebra.table import CASES, Case
from kernels.agreement import Twice, closely
from kernels.layouts import channels_last, contiguous, expanded, shifted, sliced, transposed

SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (), (0,), (2, 3, 2, 2), (1,), (5, 0, 2), (7,))
TOLERANCES = {torch.float64: closely(rtol=1e-11, atol=1e-13), torch.float32: closely(rtol=2e-4, atol=1e-5)}
STEPS = 4


class Numbers:
    """Random normal numbers, the same ones in each test."""

    def __init__(self) -> None:
        self._generator = torch.Generator().manual_seed(7)

    def __call__(self, shape: Any) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)


def run(
    case: Case, dtype: torch.dtype, layout: Callable[[Tensor], Tensor], of_gradient: Callable[[Tensor], Tensor]
) -> None:
    numbers = Numbers()
    params = [layout(numbers(shape).to(dtype)).requires_grad_() for shape in SHAPES]
    twice = Twice(case.rule, [{"params": params[:4]}, {"params": params[4:]}], TOLERANCES[dtype], dtype, **case.hypers)
    for _ in range(STEPS):
        for p in params:
            p.grad = of_gradient(numbers(p.shape).to(dtype))
        twice.step()


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_foreach_computes_what_the_graph_says(case: Case, dtype: torch.dtype) -> None:
    run(case, dtype, contiguous, contiguous)


@pytest.mark.parametrize(
    ("layout", "of_gradient"),
    [
        (transposed, contiguous), (contiguous, transposed), (channels_last, channels_last), (sliced, contiguous),
        (contiguous, sliced), (shifted, shifted), (contiguous, expanded), (transposed, expanded),
    ],
    ids=lambda layout: layout.__name__,
)  # fmt: skip
@pytest.mark.parametrize("case", [case for case in CASES if case.hypers], ids=str)
def test_no_layout_makes_a_difference(case: Case, layout: Any, of_gradient: Any) -> None:
    run(case, torch.float64, layout, of_gradient)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_parameters_and_gradients_may_be_slices_of_one_buffer(case: Case) -> None:
    """As FSDP's flat parameters and DDP's buckets are: nothing is written outside the slices."""
    numbers = Numbers()
    shared, gradients = numbers((40,)), numbers((40,))
    alone = [shared[:6].clone().requires_grad_(), shared[10:22].view(3, 4).clone().requires_grad_()]
    slices = [shared[:6].requires_grad_(), shared[10:22].view(3, 4).requires_grad_()]
    rest = torch.cat([shared[6:10], shared[22:]]).clone()
    values = {"lr": 0.1, **case.hypers}
    optimizers = [
        Twice(case.rule, [{"params": p}], closely(0, 0), torch.float64, **values).optimizer for p in (alone, slices)
    ]
    for _ in range(3):
        for p, q, g in zip(alone, slices, [gradients[1:7], gradients[9:21].view(3, 4)], strict=True):
            p.grad, q.grad = g.clone(), g
        before = gradients.clone()
        for optimizer in optimizers:
            optimizer.step()
        assert torch.equal(gradients, before)
    for p, q in zip(alone, slices, strict=True):
        assert torch.equal(p, q)
    assert torch.equal(torch.cat([shared[6:10], shared[22:]]), rest)
