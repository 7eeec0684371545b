"""Rows of numbers in machine code: the bits that the prelude gives in Python, and no Python in a steady step."""

# ruff: noqa: ARG001  # rules: the signature says what there is

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import zerograd
from kernels.cpu.running import give, model
from zerograd import from_rule
from zerograd.algebra import abs as magnitude
from zerograd.algebra import exp, log, maximum, minimum, sign, sqrt, tanh, where
from zerograd.engine.optimizer import RuleOptimizer
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.rows import can_be_printed

NAMES = [
    name
    for name in zerograd.optim.__all__
    if issubclass(kind := getattr(zerograd.optim, name), RuleOptimizer)
    and kind.rule.elementwise
    and kind.sparse != "only"
]
"""Classes that have kernels."""
KEPT_BY_PYTHON = {"ASGD", "NAdam", "Prodigy", "ScheduleFreeAdamW"}
"""Classes whose numbers hang on scalar states."""


def all_operations(g, p, *, lr, a=0.5, b=2.0, t):
    """Every operation that a number of a step can go through, with results that are nan and infinite too."""
    pole, root = 1 / (t - 2), sqrt(a - t / 4)
    chosen = where((t > 2) & (a < b) | (t == 1), exp(a * t), -log(magnitude(b - t)))
    return g * (pole + root) + p * chosen * maximum(root, b) - tanh(t * a) * minimum(pole, a) * sign(a - t) * b**t


def plan_of(kind: Any, steps: int, lr: float | None = 0.125, **hypers: Any) -> Any:
    """The plan of an optimizer with two groups, the second with a learning rate of its own, after some steps."""
    params = model([(5,), (3, 2), (7,)])
    groups = [{"params": params[:2]}, {"params": params[2:], **({} if lr is None else {"lr": lr})}]
    optimizer = kind(groups, **hypers)
    for step in range(steps):
        give(params, step)
        optimizer.step()
    return optimizer._plan


CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    **{name: (getattr(zerograd, name), {}) for name in NAMES if name not in KEPT_BY_PYTHON},
    "SGD, momentum": (zerograd.SGD, {"momentum": 0.9, "dampening": 0.25}),
    "AdamW, betas of 0": (zerograd.AdamW, {"betas": (0.0, 0.0)}),
    "all operations": (from_rule(all_operations, name="All", lr=0.25), {}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_rows_have_the_bits_of_the_prelude(case: str, steps: int) -> None:
    kind, hypers = CASES[case]
    for bucket in plan_of(kind, steps, **hypers).buckets:
        scale = np.array([0.5])
        rows = bucket.native_rows(int(scale.ctypes.data))
        assert rows is not None
        bucket.factors = dict.fromkeys(range(2), 0.5)
        bucket.prepare()
        wanted = np.array(bucket.table._scalars)
        for number, row in enumerate(bucket.rows):
            rows.settle(number, row.settled)
        bucket.table._scalars[:] = 7.0
        wanted[:, 1] = 7.0  # the noise, of which there is none
        bucket.table._descriptor[0] = 7
        assert pool.run_short(*rows.call) == 0
        assert np.array_equal(bucket.table._scalars, wanted, equal_nan=True)
        assert bucket.table._descriptor[0] == 0, "the chunks can be taken again"


def test_the_numbers_of_the_case_with_all_operations_are_not_all_finite() -> None:
    """A check of this file: poles and roots of negative numbers are among what is compared."""
    found = [np.array(plan_of(CASES["all operations"][0], steps).buckets[0].table._scalars) for steps in (2, 5)]
    assert np.isinf(found[0]).any()
    assert np.isnan(found[1]).any()


@pytest.mark.parametrize("name", ["AdamW", "SGD", "Adamax"])
def test_a_steady_step_computes_no_number_in_python(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    params = model([(5,), (3,)])
    optimizer = getattr(zerograd, name)(params, lr=0.5)
    for step in range(2):
        give(params, step)
        optimizer.step()
    bucket = optimizer._plan.buckets[0]
    monkeypatch.setattr(bucket, "prepare", lambda: pytest.fail("rows were written in Python"))
    before = [p.detach().clone() for p in params]
    give(params, 2)
    optimizer.step()
    assert not any(torch.equal(p, b) for p, b in zip(params, before, strict=True))


def test_a_new_learning_rate_reaches_the_rows() -> None:
    def step_of(lr: float) -> float:
        p = torch.zeros(3).requires_grad_()
        optimizer = zerograd.SGD([p], lr=1.0)
        for rate in (1.0, 1.0, lr):
            optimizer.param_groups[0]["lr"] = rate
            before = p.detach().clone()
            p.grad = torch.ones(3)
            optimizer.step()
        return float((before - p.detach())[0])

    assert [step_of(lr) for lr in (1.0, 0.25, 0.0)] == [1.0, 0.25, 0.0]


@pytest.mark.parametrize("name", sorted(KEPT_BY_PYTHON))
def test_numbers_that_hang_on_scalar_states_stay_in_python(name: str) -> None:
    plan = plan_of(getattr(zerograd, name), 2, lr=None)
    assert not any(can_be_printed(bucket.program.prelude) for bucket in plan.buckets)
