"""Reductions are summed in float64 and run over the tensors that have a gradient, per tensor, per group or over all."""

# ruff: noqa: ARG001, B008  # rules: the signature says what there is, and how state starts

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from zerograd import from_rule
from zerograd.algebra import mean, norm, rule, scalar, sign, total

REDUCTIONS = {"total": total, "norm": norm, "mean": mean}


@pytest.fixture(autouse=True)
def _kept_in_float64() -> Iterator[None]:
    """Numbers are kept in torch's default dtype: in float32 they would not show what was lost before."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def made(kind: str, per: str) -> Any:
    """A class whose step leaves the reduction in every parameter, and keeps it as a state per tensor."""

    def keeping(g, p, kept=scalar(0.0), *, lr, scale=1.0):
        value = REDUCTIONS[kind](g * scale, per=per)
        return value + 0 * p, value

    return from_rule(keeping, name="Keeping", lr=1.0)


def given(*shapes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    params = [torch.zeros(shape, dtype=dtype).requires_grad_() for shape in shapes]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(dtype)
    return params


def reduced(kind: str, grads: list[Tensor]) -> float:
    flat = torch.cat([g.double().flatten() for g in grads])
    return {"total": flat.sum, "norm": flat.norm, "mean": flat.mean}[kind]().item()


SHAPES = [(4, 5), (), (7,)], [(3,), (2, 2, 2)]


@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("per", ["tensor", "group", "all"])
def test_a_reduction_sees_its_tensor_its_group_or_all(kind: str, per: str) -> None:
    params = given(*SHAPES[0], *SHAPES[1])
    groups = [params[:3], params[3:]]
    absent = torch.zeros(2).requires_grad_()
    optimizer = made(kind, per)([{"params": [*groups[0], absent]}, {"params": groups[1], "scale": 2.0}])
    scaled = [[p.grad * s for p in group if p.grad is not None] for group, s in zip(groups, (1.0, 2.0), strict=True)]
    optimizer.step()
    for index, group in enumerate(groups):
        for at, p in enumerate(group):
            seen = {"tensor": [scaled[index][at]], "group": scaled[index], "all": [*scaled[0], *scaled[1]]}[per]
            assert optimizer.state[p]["kept"].item() == pytest.approx(reduced(kind, seen), rel=1e-13)
            torch.testing.assert_close(p.detach(), torch.full_like(p, reduced(kind, seen)), rtol=1e-6, atol=1e-7)
    assert absent.tolist() == [0, 0]
    assert not optimizer.state[absent]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("kind", REDUCTIONS)
@pytest.mark.parametrize("per", ["tensor", "group", "all"])
def test_a_sum_of_many_small_numbers_beside_a_large_one_loses_none(kind: str, per: str, dtype: torch.dtype) -> None:
    """In float32, 1e4 squared swallows a million times 1e-4 squared; in float64 it does not."""
    p = torch.zeros(1_000_000, dtype=dtype).requires_grad_()
    p.grad = torch.full_like(p, 2.0**-13)
    p.grad[0] = 2.0**13
    optimizer = made(kind, per)([p])
    optimizer.step()
    assert optimizer.state[p]["kept"].item() == pytest.approx(reduced(kind, [p.grad]), rel=1e-14)


@pytest.mark.parametrize("per", ["tensor", "group", "all"])
def test_tensors_of_several_dtypes_and_cohorts_share_a_reduction(per: str) -> None:
    """Which kernel call a tensor takes part in makes no difference to the sum."""
    params = [*given((4,), (3,)), *given((5,), dtype=torch.float64), *given((6,), dtype=torch.bfloat16)]
    optimizer = made("total", per)(params)
    optimizer.step()
    params[1].grad = None
    optimizer.step()  # now the others have a step more
    params[1].grad = torch.ones(3, dtype=params[1].dtype)
    optimizer.step()
    every = reduced("total", [p.grad for p in params if p.grad is not None])
    for p in params:
        assert p.grad is not None
        wanted = reduced("total", [p.grad]) if per == "tensor" else every
        assert optimizer.state[p]["kept"].item() == pytest.approx(wanted, rel=1e-13)


def test_reductions_of_reductions_run_pass_by_pass() -> None:
    @rule
    def centred(g, kept=scalar(0.0)):
        middle = mean(g, per="group")
        spread = mean((g - middle) * (g - middle), per="group")
        return (g - middle) / spread, spread

    params = given((4, 5), (7,))
    optimizer: Any = from_rule(centred, lr=1.0)(params)
    optimizer.step()
    flat = torch.cat([p.grad.double().flatten() for p in params if p.grad is not None])
    assert optimizer.state[params[0]]["kept"].item() == pytest.approx(flat.var(correction=0).item(), rel=1e-6)
    assert sum(p.sum().item() for p in params) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("flags", [(False, True), (True, False), (True, True)], ids=str)
def test_groups_that_go_different_ways_meet_at_a_reduction_over_all(flags: tuple[bool, bool]) -> None:
    """One group needs a reduction of its own first: the other waits for it."""

    @rule
    def centring(g, kept=scalar(0.0), *, centred=False):
        if centred:
            g = g - mean(g, per="group")
        return g, norm(g, per="all")

    params = given((4, 5), (7,), (3,))
    groups = [{"params": params[:1], "centred": flags[0]}, {"params": params[1:], "centred": flags[1]}]
    optimizer: Any = from_rule(centring, lr=1.0)(groups)
    optimizer.step()
    parts = []
    for group, flag in zip(groups, flags, strict=True):
        flat = torch.cat([p.grad.double().flatten() for p in group["params"]])
        parts.append(flat - flat.mean() if flag else flat)
    for p in params:
        assert optimizer.state[p]["kept"].item() == pytest.approx(torch.cat(parts).norm().item(), rel=1e-6)


def test_what_a_weight_decay_of_0_leaves_of_a_reduction_is_0() -> None:
    """Zero decay has a graph of its own, in which the operand is no tensor any more."""

    @rule
    def decaying(g, p, *, weight_decay=0.0):
        return g + weight_decay * p / (1 + norm(weight_decay * p))

    p, q = given((3,), (3,))
    optimizer: Any = from_rule(decaying, lr=1.0)([{"params": [p]}, {"params": [q], "weight_decay": 0.5}])
    optimizer.step()
    assert p.grad is not None
    assert torch.equal(p, -p.grad)


def waiting_first(g, p, sum_a=scalar(0.0), sum_b=scalar(0.0), *, lr, weight_decay=0.0):
    """A reduction that has to wait for another one, written before one that has not."""
    waiting = total((sign(total(p)) + weight_decay * norm(p)) * g, per="group")
    return p, waiting, total(g * g, per="group")


def waiting_for_decay(g, p, sum_a=scalar(0.0), sum_b=scalar(0.0), *, lr, weight_decay=0.0):
    """The same, but it has to wait only if there is decay."""
    waiting = total((1 + weight_decay * norm(p)) * g, per="group")
    return p, waiting, total(g * g, per="group")


@pytest.mark.parametrize("function", [waiting_first, waiting_for_decay])
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_backends_that_share_reductions_take_them_in_the_same_order(function: Any, weight_decay: float) -> None:
    """A gradient laid out unlike its parameter, and a negative view, go other ways than a compiled kernel."""
    params = given((4, 5), (3, 2), (7,), (2,))
    params[0].grad = params[0].grad.t().contiguous().t()  # type: ignore[union-attr]
    negative = torch._neg_view(params[3].detach()).requires_grad_()
    negative.grad = params[3].grad
    params[3] = negative
    with torch.no_grad():
        for p in params:
            p.fill_(1.0)  # of positive sum, and of norm sqrt(numel)
    grads = [p.grad.double() for p in params if p.grad is not None]
    wanted = {
        "sum_a": sum(((1 + weight_decay * g.numel() ** 0.5) * g).sum().item() for g in grads),
        "sum_b": sum(g.square().sum().item() for g in grads),
    }
    optimizer = from_rule(function, name="Waiting", lr=1.0)(params, weight_decay=weight_decay)
    optimizer.step()
    for p in params:
        # 1e-6: the square root of a norm is rounded to float32 where it meets the elements
        assert {k: optimizer.state[p][k].item() for k in wanted} == pytest.approx(wanted, rel=1e-6)
