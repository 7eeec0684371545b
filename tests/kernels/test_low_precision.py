"""Half precision is computed in float32 and rounded once, when it is stored: parameters and states alike."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from algebra.table import CASES, Case
from zerograd import SGD, AdamW, from_rule

SHAPES: tuple[tuple[int, ...], ...] = ((3, 4), (), (7,))


def grown(optimizer: Any, dtype: torch.dtype) -> Any:
    """The same optimizer at the same point with every tensor in another dtype."""
    twin = copy.deepcopy(optimizer)
    for group in twin.param_groups:
        for p in group["params"]:
            g = p.grad
            p.grad = None
            p.data = p.data.to(dtype)
            p.grad = g.to(dtype)
            for name, value in twin.state[p].items():
                if value.shape == p.shape and name not in scalars(twin):
                    twin.state[p][name] = value.to(dtype)
    return twin


def scalars(optimizer: Any) -> set[str]:
    return {"step", *(name for name, spec in optimizer.rule.states.items() if hasattr(spec, "per"))}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_half_precision_step_is_a_float32_step_rounded_once(case: Case, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)

    def numbers(shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=generator).to(dtype)

    params = [numbers(shape).requires_grad_() for shape in SHAPES]
    optimizer: Any = from_rule(case.rule, name="Half", lr=0.1)(params, **case.hypers)
    for step in range(4):
        for p in params:
            p.grad = numbers(tuple(p.shape))
        if step == 0:  # makes the states, in half precision
            optimizer.step()
            continue
        exact = grown(optimizer, torch.float32)
        exact.step()
        optimizer.step()
        for p, q in zip(params, exact.param_groups[0]["params"], strict=True):
            assert p.dtype == dtype
            assert torch.equal(p, q.to(dtype))
            for name, value in optimizer.state[p].items():
                wanted = exact.state[q][name]
                assert value.dtype == (wanted.dtype if name in scalars(optimizer) else dtype)
                assert torch.equal(value, wanted.to(value.dtype)), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_state_of_higher_precision_keeps_it(dtype: torch.dtype) -> None:
    """As a loaded checkpoint may have it: float32 averages of half-precision parameters."""
    p = torch.ones(3, dtype=dtype).requires_grad_()
    optimizer = AdamW([p])
    optimizer.state[p].update(exp_avg=torch.full((3,), 0.1), exp_avg_sq=torch.full((3,), 1e-12, dtype=torch.float64))
    p.grad = torch.full((3,), 1e-3, dtype=dtype)
    optimizer.step()
    assert optimizer.state[p]["exp_avg"].dtype == torch.float32
    assert optimizer.state[p]["exp_avg_sq"].dtype == torch.float64
    torch.testing.assert_close(
        optimizer.state[p]["exp_avg"], torch.full((3,), 0.9 * 0.1 + 0.1 * 1e-3), rtol=1e-3, atol=0
    )
    assert p.dtype == dtype


def test_a_gradient_of_another_precision_than_its_parameter_is_taken_as_it_is() -> None:
    p = torch.zeros(2, dtype=torch.bfloat16).requires_grad_()
    p.grad_dtype = torch.float32
    p.grad = torch.tensor([1.0 + 2**-10, 1.0])
    optimizer = SGD([p], lr=2.0**10, momentum=0.5)
    optimizer.step()
    assert p.tolist() == [-1024.0, -1024.0], "rounded once, at the end"
    p.grad -= 1
    optimizer.step()
    assert p.tolist() == [-1024.0 - 512.0, -1024.0 - 512.0]
