"""optax, run by jax in float64, as an independent account of the same algorithms.

Where optax's convention differs from torch's, which is ours, the case is given the arguments under which they agree,
and a test further down holds the difference to its formula.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import jax
import numpy as np
import optax
import pytest
import torch

import zerograd as optim
from zerograd.compat import keras as compat

jax.config.update("jax_enable_x64", True)

SHAPES = [(3, 4), (5,), (2, 2)]
STEPS = 25
HALVED_AT = 15
"""The learning rate is halved for the steps from this one on, counted from 0."""

Arrays = list[np.ndarray]
Factory = Callable[[Any], optax.GradientTransformation]


def l2(inner: Factory, decay: float) -> Factory:
    """Weight decay as part of the gradient, as torch's classes have it."""
    return lambda lr: optax.chain(optax.add_decayed_weights(decay), inner(lr))


B, DECAY = (0.8, 0.95), 0.1
SMALL: dict[str, Any] = {"b1": B[0], "b2": B[1]}
ALWAYS = 1e6
"""A momentum_decay at which NAdam's momentum is beta1 from the first step on."""

CASES: dict[str, tuple[str, dict[str, Any], Factory]] = {
    "sgd": ("SGD", {}, optax.sgd),
    "sgd, momentum": ("SGD", {"momentum": 0.9}, lambda lr: optax.sgd(lr, 0.9)),
    "sgd, nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, lambda lr: optax.sgd(lr, 0.9, nesterov=True)),
    "sgd, momentum, L2": (
        "SGD",
        {"momentum": 0.9, "weight_decay": DECAY},
        l2(lambda lr: optax.sgd(lr, 0.9), DECAY),
    ),
    "adam": ("Adam", {"betas": B, "eps": 1e-3}, lambda lr: optax.adam(lr, *B, eps=1e-3)),
    "adam, defaults": ("Adam", {}, optax.adam),
    "adam, L2": ("Adam", {"betas": B, "weight_decay": DECAY}, l2(lambda lr: optax.adam(lr, *B), DECAY)),
    "adamw": ("AdamW", {"betas": B, "weight_decay": DECAY}, lambda lr: optax.adamw(lr, *B, weight_decay=DECAY)),
    "nadam": ("NAdam", {"betas": B, "momentum_decay": ALWAYS}, lambda lr: optax.nadam(lr, *B)),
    "radam": ("RAdam", {"betas": (0.9, 0.999), "eps": 0.0}, lambda lr: optax.radam(lr, eps=0.0)),
    "radam, short memory": ("RAdam", {"betas": B, "eps": 0.0}, lambda lr: optax.radam(lr, *B, eps=0.0)),
    "adamax": ("Adamax", {"betas": B, "eps": 1e-2}, lambda lr: optax.adamax(lr, *B, eps=1e-2)),
    "adagrad": ("Adagrad", {"eps": 0.0}, lambda lr: optax.adagrad(lr, 0.0, eps=0.0)),
    "adagrad, filled": (
        "Adagrad",
        {"eps": 0.0, "initial_accumulator_value": 0.5},
        lambda lr: optax.adagrad(lr, 0.5, eps=0.0),
    ),
    "rmsprop": (
        "RMSprop",
        {"alpha": 0.9, "eps": 1e-2},
        lambda lr: optax.rmsprop(lr, 0.9, eps=1e-2, eps_in_sqrt=False),
    ),
    "rmsprop, centered": (
        "RMSprop",
        {"alpha": 0.9, "eps": 1e-2, "centered": True},
        lambda lr: optax.rmsprop(lr, 0.9, eps=1e-2, eps_in_sqrt=False, centered=True),
    ),
    "adadelta": ("Adadelta", {"rho": 0.8, "eps": 1e-3}, lambda lr: optax.adadelta(lr, 0.8, eps=1e-3)),
    "lion": ("Lion", {"betas": B, "weight_decay": DECAY}, lambda lr: optax.lion(lr, *B, weight_decay=DECAY)),
    "lamb": (
        "LAMB",
        {"betas": B, "eps": 1e-3, "weight_decay": DECAY},
        lambda lr: optax.lamb(lr, *B, eps=1e-3, weight_decay=DECAY),
    ),
    "lamb, no decay": (
        "LAMB",
        {"betas": B, "weight_decay": 0.0, "always_adapt": True},
        lambda lr: optax.lamb(lr, *B, weight_decay=0.0),
    ),
}

# optax's RMSprop is Keras's: epsilon inside the root, the learning rate inside the momentum.
KERAS_CASES: dict[str, tuple[dict[str, Any], Factory]] = {
    "plain": ({"epsilon": 1e-2}, lambda lr: optax.rmsprop(lr, 0.9, eps=1e-2)),
    "momentum": ({"momentum": 0.9}, lambda lr: optax.rmsprop(lr, 0.9, eps=1e-7, momentum=0.9)),
    "centered": (
        {"momentum": 0.9, "centered": True, "epsilon": 1e-3},
        lambda lr: optax.rmsprop(lr, 0.9, eps=1e-3, centered=True, momentum=0.9),
    ),
}


def noise(seed: int, scale: float = 1.0) -> Arrays:
    draw = np.random.default_rng(seed)
    return [scale * draw.standard_normal(shape) for shape in SHAPES]


def in_optax(transformation: optax.GradientTransformation) -> tuple[list[Arrays], list[Any]]:
    """The parameters after every step, the first entry those before, and the states."""
    params: Any = noise(0)
    state = transformation.init(params)
    update = jax.jit(transformation.update)
    seen, states = [[np.array(p) for p in params]], []
    for step in range(STEPS):
        updates, state = update(noise(step + 1), state, params)
        params = optax.apply_updates(params, updates)
        seen.append([np.array(p) for p in params])
        states.append(state)
    return seen, states


def in_zerograd(cls: Any, lr: float, halve: bool = True, **hypers: Any) -> list[Arrays]:
    params = [torch.tensor(p, requires_grad=True) for p in noise(0)]
    optimizer = cls(params, lr, **hypers)
    seen = [[p.detach().numpy().copy() for p in params]]
    for step in range(STEPS):
        if halve and step == HALVED_AT:
            optimizer.param_groups[0]["lr"] = lr / 2
        for p, g in zip(params, noise(step + 1), strict=True):
            p.grad = torch.tensor(g)
        optimizer.step()
        seen.append([p.detach().numpy().copy() for p in params])
    return seen


def halving(lr: float) -> Callable[[Any], Any]:
    return lambda count: jax.numpy.where(count < HALVED_AT, lr, lr / 2)


def assert_close(mine: Any, theirs: Any, tolerance: float = 1e-9) -> None:
    """float64 in another order of operations; the smallest roots multiply a last bit by up to 1e5."""
    for a, b in zip(mine, theirs, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


@pytest.fixture(autouse=True)
def _double() -> Any:
    """torch keeps numbers like NAdam's product of momenta in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("case", CASES)
def test_every_step_is_optax(case: str) -> None:
    name, hypers, make = CASES[case]
    theirs, _ = in_optax(make(halving(0.05)))
    assert_close(in_zerograd(getattr(optim, name), 0.05, **hypers), theirs)
    assert max(abs(a - b).max() for a, b in zip(theirs[0], theirs[-1], strict=True)) > 1e-2


@pytest.mark.parametrize("case", KERAS_CASES)
def test_rmsprop_of_keras_is_that_of_optax(case: str) -> None:
    hypers, make = KERAS_CASES[case]
    assert_close(in_zerograd(compat.RMSprop, 0.02, **hypers), in_optax(make(halving(0.02)))[0])


def test_momentum_of_rmsprop_is_that_of_optax_while_the_rate_stays() -> None:
    """torch's momentum remembers directions, optax's steps: a new learning rate acts on the past in torch only."""
    hypers: dict[str, Any] = {"alpha": 0.9, "eps": 1e-2, "momentum": 0.9}
    theirs, _ = in_optax(optax.rmsprop(0.02, 0.9, eps=1e-2, eps_in_sqrt=False, momentum=0.9))
    assert_close(in_zerograd(optim.RMSprop, 0.02, halve=False, **hypers), theirs)
    moved, _ = in_optax(optax.rmsprop(halving(0.02), 0.9, eps=1e-2, eps_in_sqrt=False, momentum=0.9))
    mine = in_zerograd(optim.RMSprop, 0.02, **hypers)
    assert_close(mine[: HALVED_AT + 1], moved[: HALVED_AT + 1])
    # At the first step with half the rate, torch halves the remembered step too: momentum * (previous step) / 2 less.
    previous = [b - a for a, b in zip(mine[HALVED_AT - 1], mine[HALVED_AT], strict=True)]
    gap = [a - b for a, b in zip(mine[HALVED_AT + 1], moved[HALVED_AT + 1], strict=True)]
    assert_close([gap], [[-0.9 / 2 * p for p in previous]])


# ------------------------------------------------------------------------------- where conventions differ on purpose


def steps_of(seen: list[Arrays]) -> list[Arrays]:
    return [[b - a for a, b in zip(x, y, strict=True)] for x, y in pairwise(seen)]


def squares(step: int, beta: float | None) -> Arrays:
    """The sum of the squared gradients up to a step, or their running mean."""
    total = [np.zeros(shape) for shape in SHAPES]
    for i in range(step + 1):
        for v, g in zip(total, noise(i + 1), strict=True):
            v *= 1.0 if beta is None else beta
            v += (1.0 if beta is None else 1 - beta) * g * g
    return total


EPS = 1e-2


def outside(v: np.ndarray, _: int) -> np.ndarray:
    return np.sqrt(v) + EPS


def inside(v: np.ndarray, _: int) -> np.ndarray:
    return np.sqrt(v + EPS)


def corrected(v: np.ndarray, t: int) -> np.ndarray:
    """RAdam's root with epsilon added after the bias is corrected, but for the correction itself."""
    return np.sqrt(v) + EPS * np.sqrt(1 - B[1] ** t)


@pytest.mark.parametrize(
    ("cls", "hypers", "theirs", "beta", "root", "first"),
    [
        (optim.Adagrad, {}, optax.adagrad(0.05, 0.0, eps=EPS), None, inside, 0),
        (optim.RMSprop, {"alpha": 0.9}, optax.rmsprop(0.05, 0.9, eps=EPS), 0.9, inside, 0),
        (optim.RAdam, {"betas": B}, optax.radam(0.05, *B, eps=EPS), B[1], corrected, 6),
    ],
    ids=["adagrad", "rmsprop", "radam"],
)
def test_where_epsilon_stands(cls: Any, hypers: Any, theirs: Any, beta: Any, root: Any, first: int) -> None:
    """Ours, torch's: outside of the root, in RAdam before the bias is corrected. The steps differ by the roots only."""
    mine = steps_of(in_zerograd(cls, 0.05, halve=False, eps=EPS, **hypers))
    other = steps_of(in_optax(theirs)[0])
    for step in range(first, STEPS):
        v = squares(step, beta)
        scaled = [u * outside(s, step + 1) for u, s in zip(mine[step], v, strict=True)]
        expected = [u * root(s, step + 1) for u, s in zip(other[step], v, strict=True)]
        assert_close([scaled], [expected])
        assert max(abs(a - b).max() for a, b in zip(mine[step], other[step], strict=True)) > 1e-6


def test_the_momentum_of_nadam_grows() -> None:
    """optax's is beta1 throughout; torch's, from the paper's schedule, starts at about half of it."""
    mine = steps_of(in_zerograd(optim.NAdam, 0.05, halve=False, betas=B, eps=EPS, momentum_decay=0.2))
    _, states = in_optax(optax.nadam(0.05, *B, eps=EPS))
    product = 1.0
    for t in range(1, STEPS + 1):
        mu, after = (B[0] * (1 - 0.5 * 0.96 ** (s * 0.2)) for s in (t, t + 1))
        product *= mu
        moments = states[t - 1][0]
        expected = [
            -0.05
            * ((1 - mu) / (1 - product) * g + after / (1 - product * after) * np.array(m))
            / (np.sqrt(np.array(v) / (1 - B[1] ** t)) + EPS)
            for g, m, v in zip(noise(t), moments.mu, moments.nu, strict=True)
        ]
        assert_close([mine[t - 1]], [expected])


def test_lamb_without_decay_is_adam() -> None:
    """optax rescales then too; ours does with always_adapt=True, which the table above compares."""
    mine = in_zerograd(optim.LAMB, 0.05, betas=B, eps=1e-3, weight_decay=0.0)
    assert_close(mine, in_optax(optax.adam(halving(0.05), *B, eps=1e-3))[0])


def test_clipping_adds_a_millionth_to_the_norm() -> None:
    """torch's clip_grad_norm_ divides by norm + 1e-6, optax's by the norm itself."""
    mine = steps_of(in_zerograd(optim.SGD, 0.05, halve=False, clip=1.0))
    theirs = steps_of(in_optax(optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.05)))[0])
    for step in range(STEPS):
        norm = np.sqrt(sum((g * g).sum() for g in noise(step + 1)))
        assert norm > 1
        assert_close([[u * (norm + 1e-6) / norm for u in mine[step]]], [theirs[step]], tolerance=1e-13)
