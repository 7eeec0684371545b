"""zerograd.compat.keras against Keras itself, in float64 with Keras's torch backend."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import keras
import pytest
import torch
from torch import Tensor

from zerograd.compat import keras as compat

SHAPES = [(3, 4), (5,), ()]
STEPS = 30

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {}),
    "SGD, momentum": ("SGD", {"momentum": 0.9}),
    "SGD, nesterov": ("SGD", {"momentum": 0.8, "nesterov": True}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop, rho, epsilon": ("RMSprop", {"rho": 0.7, "epsilon": 1e-2}),
    "RMSprop, momentum": ("RMSprop", {"momentum": 0.9}),
    "RMSprop, centered": ("RMSprop", {"momentum": 0.5, "centered": True}),
    "Adam": ("Adam", {}),
    "Adam, betas, epsilon": ("Adam", {"beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-2}),
    "Adam, amsgrad": ("Adam", {"amsgrad": True, "beta_2": 0.8}),
    "AdamW": ("AdamW", {}),
}
COMMON: dict[str, dict[str, Any]] = {
    "plain": {},
    "rate": {"learning_rate": 0.05},
    "decay": {"weight_decay": 0.1, "learning_rate": 0.05},
    "clipnorm": {"clipnorm": 1.5},
    "clipvalue": {"clipvalue": 0.5},
    "global_clipnorm": {"global_clipnorm": 2.0},
    "clipnorm, decay": {"clipnorm": 1.5, "weight_decay": 0.1},
}


@pytest.fixture(autouse=True)
def _double() -> Any:
    """Keras makes its state and its numbers in its default dtype."""
    before = keras.config.floatx()
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(before)


def noise(seed: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(step: int) -> list[Tensor]:
    """Of very different sizes, so that clipping sets in for some and epsilon matters for others."""
    return [noise(100 * step + i, shape) * 10.0 ** (i - 1) for i, shape in enumerate(SHAPES)]


def in_keras(name: str, hypers: dict[str, Any], rates: dict[int, float]) -> list[list[Tensor]]:
    variables = [keras.Variable(noise(i, shape), dtype="float64") for i, shape in enumerate(SHAPES)]
    optimizer = getattr(keras.optimizers, name)(**hypers)
    seen = []
    for step in range(STEPS):
        if step in rates:
            optimizer.learning_rate = rates[step]
        optimizer.apply(gradients(step + 1), variables)
        seen.append([v.value.detach().clone() for v in variables])
    return seen


def in_zerograd(name: str, hypers: dict[str, Any], rates: dict[int, float]) -> list[list[Tensor]]:
    params = [noise(i, shape).requires_grad_() for i, shape in enumerate(SHAPES)]
    optimizer = getattr(compat, name)(params, **hypers)
    seen = []
    for step in range(STEPS):
        if step in rates:
            optimizer.param_groups[0]["lr"] = rates[step]
        for p, g in zip(params, gradients(step + 1), strict=True):
            p.grad = g
        optimizer.step()
        seen.append([p.detach().clone() for p in params])
    return seen


@pytest.mark.parametrize("common", COMMON)
@pytest.mark.parametrize("case", CASES)
def test_every_step_is_keras(case: str, common: str) -> None:
    name, hypers = CASES[case]
    hypers = {**hypers, **COMMON[common]}
    rates = {10: 0.02, 20: 0.005}
    mine, theirs = in_zerograd(name, hypers, rates), in_keras(name, hypers, rates)
    # Keras keeps the learning rate in float32, whatever the default: 6e-8 of every step, and a step may be as large as
    # the weight.
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_keras_to_the_last_digits_with_a_rate_that_float32_holds(case: str) -> None:
    name, hypers = CASES[case]
    hypers = {**hypers, "learning_rate": 2.0**-6}
    rates = {10: 2.0**-7, 20: 2.0**-5}
    # float64 with another order of operations; centered RMSprop subtracts squares that are nearly equal.
    torch.testing.assert_close(in_zerograd(name, hypers, rates), in_keras(name, hypers, rates), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", compat.__all__)
def test_arguments_their_order_and_defaults_are_keras(name: str) -> None:
    mine = list(inspect.signature(getattr(compat, name).__init__).parameters.values())[2:]
    keras_own = inspect.signature(getattr(keras.optimizers, name).__init__).parameters
    theirs = [p for p in keras_own.values() if p.name in {q.name for q in mine}]
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in theirs]
    left_out = {"self", "use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "name", "kwargs"}
    assert keras_own.keys() - {p.name for p in mine} == left_out | {"gradient_accumulation_steps"}


def test_the_difference_to_torchs_classes_shows() -> None:
    """Or the comparison would hold for torch's formulas too."""
    for name, hypers, torchs in [
        ("SGD", {"momentum": 0.9}, {"momentum": 0.9}),
        ("RMSprop", {"epsilon": 1e-2}, {"alpha": 0.9, "eps": 1e-2}),
        ("Adam", {"epsilon": 1e-2}, {"eps": 1e-2}),
    ]:
        params = [noise(i, shape).requires_grad_() for i, shape in enumerate(SHAPES)]
        optimizer = getattr(torch.optim, name)(params, lr=2.0**-6, **torchs)
        for step in range(STEPS):
            if step == 10:
                optimizer.param_groups[0]["lr"] = 2.0**-9
            for p, g in zip(params, gradients(step + 1), strict=True):
                p.grad = g
            optimizer.step()
        mine = in_zerograd(name, {**hypers, "learning_rate": 2.0**-6}, {10: 2.0**-9})[-1]
        assert max((a - b.detach()).abs().max() for a, b in zip(mine, params, strict=True)) > 1e-3, name


def test_only_one_way_to_clip_as_in_keras() -> None:
    with warnings.catch_warnings(), pytest.raises(ValueError, match="Only one"):
        keras.optimizers.SGD(clipnorm=1.0, clipvalue=1.0)
    with pytest.raises(ValueError, match="Only one way to clip can be set, not clipnorm and clipvalue"):
        compat.SGD([torch.zeros(2, requires_grad=True)], clipnorm=1.0, clipvalue=1.0)
