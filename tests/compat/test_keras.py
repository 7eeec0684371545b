"""Keras's formulas, transcribed in plain Python from Keras's documentation, number by number in float64.

``make test-ecosystem`` compares with Keras itself.
"""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import equal, noise, snapshot
from zerograd.compat import keras

Number = float
Step = Callable[[float, float, float, int], float]


def sgd(momentum: float = 0.0, nesterov: bool = False) -> Step:
    v = 0.0

    def step(p: float, g: float, lr: float, _: int) -> float:
        nonlocal v
        v = momentum * v - lr * g
        return p + momentum * v - lr * g if nesterov else p + v

    return step


def rmsprop(rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-7, centered: bool = False) -> Step:
    v = a = b = 0.0

    def step(p: float, g: float, lr: float, _: int) -> float:
        nonlocal v, a, b
        v = rho * v + (1 - rho) * g * g
        a = rho * a + (1 - rho) * g
        increment = lr * g / math.sqrt(v - a * a * centered + epsilon)
        b = momentum * b + increment
        return p - b

    return step


def adam(beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7, amsgrad: bool = False) -> Step:
    m = v = largest = 0.0

    def step(p: float, g: float, lr: float, t: int) -> float:
        nonlocal m, v, largest
        m += (g - m) * (1 - beta_1)
        v += (g * g - v) * (1 - beta_2)
        largest = max(largest, v)
        alpha = lr * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        return p - alpha * m / (math.sqrt(largest if amsgrad else v) + epsilon)

    return step


ORACLES: dict[str, Callable[..., Step]] = {"SGD": sgd, "RMSprop": rmsprop, "Adam": adam, "AdamW": adam}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("RMSprop", {"epsilon": 1e-2}),
    ("RMSprop", {"rho": 0.6, "momentum": 0.9, "centered": True}),
    ("Adam", {"epsilon": 1e-2}),
    ("Adam", {"beta_1": 0.7, "beta_2": 0.9, "amsgrad": True}),
    ("AdamW", {}),
]
CLIPS = [{}, {"clipnorm": 0.7}, {"clipvalue": 0.3}, {"global_clipnorm": 0.9}]

by_case = pytest.mark.parametrize(("name", "hypers"), CASES, ids=[f"{n} {' '.join(h)}".strip() for n, h in CASES])


def clipped(
    grads: list[list[float]], clipnorm: float = 0.0, clipvalue: float = 0.0, global_clipnorm: float = 0.0
) -> list[list[float]]:
    if clipnorm:
        grads = [[x * clipnorm / max(math.hypot(*g), clipnorm) for x in g] for g in grads]
    if clipvalue:
        grads = [[min(max(x, -clipvalue), clipvalue) for x in g] for g in grads]
    if global_clipnorm:
        largest = max(math.hypot(*(x for g in grads for x in g)), global_clipnorm)
        grads = [[x * global_clipnorm / largest for x in g] for g in grads]
    return grads


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: " ".join(clip) or "unclipped")
@pytest.mark.parametrize("decay", [None, 0.1])
@by_case
def test_a_run_is_the_transcription(name: str, hypers: dict[str, Any], decay: float | None, clip: Any) -> None:
    params = [noise(i, 4, dtype=torch.float64).requires_grad_() for i in range(2)]
    weights = [p.tolist() for p in params]
    steppers = [[ORACLES[name](**hypers) for _ in w] for w in weights]
    given = {} if name == "AdamW" and decay is None else {"weight_decay": decay}
    optimizer = getattr(keras, name)(params, learning_rate=0.05, **hypers, **given, **clip)
    shrink = given.get("weight_decay", 0.004) or 0.0
    for t in range(1, 13):
        lr = optimizer.param_groups[0]["lr"] = 0.05 / (1 + t // 5)
        for i, p in enumerate(params):
            p.grad = noise(10 * t + i, 4, dtype=torch.float64)
        grads = clipped([p.grad.tolist() for p in params], **clip)  # type: ignore[union-attr]
        weights = [
            [step(x - x * shrink * lr, g, lr, t) for step, x, g in zip(*row, strict=True)]
            for row in zip(steppers, weights, grads, strict=True)
        ]
        optimizer.step()
        # float64, in another order of operations.
        torch.testing.assert_close([p.tolist() for p in params], weights, rtol=1e-10, atol=1e-12)


def test_a_new_rate_leaves_the_velocity_alone() -> None:
    """The difference between Keras's momentum and torch's."""
    p, q = (torch.zeros(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    mine, torchs = keras.SGD([p], 1.0, momentum=0.5), optim.SGD([q], 1.0, momentum=0.5)
    for lr, g in ((1.0, 1.0), (0.0, 1.0)):
        for optimizer, w in ((mine, p), (torchs, q)):
            optimizer.param_groups[0]["lr"] = lr
            w.grad = torch.full((1,), g, dtype=torch.float64)
            optimizer.step()
    assert p.item() == -1.5
    assert q.item() == -1.0


def run(optimizer: Any, params: list[torch.Tensor], steps: range) -> None:
    for step in steps:
        for i, p in enumerate(params):
            p.grad = noise(10 * step + i, *p.shape)
        optimizer.step()


@by_case
def test_a_run_goes_on_after_pickling_copying_and_loading(name: str, hypers: dict[str, Any]) -> None:
    params = [noise(i, 3).requires_grad_() for i in range(2)]
    optimizer = getattr(keras, name)(params, **hypers)
    run(optimizer, params, range(3))
    copies = [pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)]
    fresh = [p.detach().clone().requires_grad_() for p in params]
    loaded = getattr(keras, name)(fresh)
    loaded.load_state_dict(optimizer.state_dict())
    run(optimizer, params, range(3, 6))
    for other in [*copies, loaded]:
        assert type(other) is getattr(keras, name)
        run(other, other.param_groups[0]["params"], range(3, 6))
        assert equal(snapshot(other), snapshot(optimizer))


@pytest.mark.parametrize("name", keras.__all__)
def test_schedulers_that_move_rates_and_momenta_drive_it(name: str) -> None:
    params = [noise(0, 3).requires_grad_()]
    hypers = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    optimizer = getattr(keras, name)(params, **hypers)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=5)
    first = dict(optimizer.param_groups[0])
    for step in range(2):  # to the middle of the cycle
        run(optimizer, params, range(step, step + 1))
        schedule.step()
    moved = {key for key in ("lr", "momentum", "betas") if first.get(key) != optimizer.param_groups[0].get(key)}
    assert moved == {"lr", "momentum" if hypers else "betas"}


@pytest.mark.parametrize(
    ("name", "hypers", "message"),
    [
        ("SGD", {"momentum": 1.5}, "momentum=1.5 must be between 0 and 1"),
        ("RMSprop", {"momentum": -0.5}, "momentum=-0.5 must be between 0 and 1"),
        ("RMSprop", {"rho": 2.0}, "rho=2.0 must be between 0 and 1"),
        ("Adam", {"beta_1": 1.0}, "beta_1=1.0 must be at least 0 and less than 1"),
        ("AdamW", {"beta_2": -0.1}, "beta_2=-0.1 must be at least 0 and less than 1"),
        ("SGD", {"clipnorm": 1.0, "clipvalue": 1.0}, "Only one way to clip can be set, not clipnorm and clipvalue"),
        ("Adam", {"global_clipnorm": 0.0}, "global_clipnorm=0.0 must be more than 0"),
        ("SGD", {"learning_rate": -1.0}, "[Ll]earning rate"),
        ("Adam", {"weight_decay": -1.0}, "weight_decay"),
        ("Adam", {"epsilon": -1.0}, "eps"),
    ],
)
def test_what_is_out_of_range_is_refused(name: str, hypers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(keras, name)([torch.zeros(2, requires_grad=True)], **hypers)


def test_a_framework_that_is_not_there_is_named() -> None:
    with pytest.raises(AttributeError, match="no attribute 'paddle'; it has keras"):
        optim.compat.paddle  # noqa: B018
