"""Between two steps everything may be exchanged: the next step is torch's, or the eager backend's, all the same.

In float64, with step counts in float64 too: the two sides differ by the order of a few operations, 1e-16 each.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
import torch

import zerograd
from admission.serving import eagerly, watched
from admission.surgery import ANYWHERE, DELETING, FLAGS, OURS_ONLY, Run, flip_amsgrad

pytestmark = pytest.mark.usefixtures("double")

Operation = Callable[[Run], None]

CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "plain SGD": ("SGD", {"lr": 0.1}),
    "Adam": ("Adam", {"lr": 0.01, "amsgrad": True, "betas": (0.8, 0.9)}),
    "AdamW": ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"lr": 0.01, "momentum": 0.5}),
    "Adagrad": ("Adagrad", {"lr": 0.1}),
    "NAdam": ("NAdam", {"lr": 0.01, "betas": (0.8, 0.9)}),
}
OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "Lion": ("Lion", {"lr": 0.01}),
    "LAMB": ("LAMB", {"lr": 0.01}),
    "StableAdamW": ("StableAdamW", {"lr": 0.01}),
    "ScheduleFreeAdamW": ("ScheduleFreeAdamW", {"lr": 0.01}),
}

TOLERANCE = 1e-11


class Pair:
    """zerograd's optimizer, and the same class of torch's or on the eager backend."""

    def __init__(self, name: str, hypers: dict[str, Any], reference: str) -> None:
        self.eager = reference == "eager"
        self.ours = Run(getattr(zerograd, name), hypers)
        module: Any = zerograd if self.eager else torch.optim
        extra = {} if self.eager else {"foreach": False}
        self.served: set[int] = set()
        self.reference = Run(getattr(module, name), {**hypers, **extra})

    def do(self, operation: Operation) -> None:
        for run in (self.ours, self.reference):
            operation(run)

    def step(self, why: str) -> None:
        """One step of both, with the same outcome."""
        with watched() as self.served:
            self.ours.step()
        if self.eager:
            with eagerly():
                self.reference.step()
        else:
            self.reference.step()
        for i, (p, q) in enumerate(zip(self.ours.params, self.reference.params, strict=True)):
            torch.testing.assert_close(
                p, q, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda m, i=i: f"parameter {i} after {why}: {m}"
            )
            for name in (*self.ours.names(i), *({"step"} & self.ours.optimizer.state.get(p, {}).keys())):
                got, wanted = self.ours.state(i)[name], self.reference.state(i)[name]
                torch.testing.assert_close(
                    got, wanted, rtol=TOLERANCE, atol=TOLERANCE, msg=lambda m, n=name: f"{n} after {why}: {m}"
                )


def allowed(name: str, reference: str) -> list[Operation]:
    found: list[Operation] = list(ANYWHERE)
    if reference == "eager" or name != "Adagrad":
        found += DELETING
    if reference == "eager":
        found += OURS_ONLY
    return found + [f for f in FLAGS if reference == "eager" or f is not flip_amsgrad]


CASES = [
    pytest.param(name, reference, id=f"{name} and {reference}")
    for table, references in ((CLASSES, ("torch", "eager")), (OWN, ("eager",)))
    for name in table
    for reference in references
]


@pytest.mark.parametrize(("name", "reference"), CASES)
def test_one_thing_between_steady_steps(name: str, reference: str) -> None:
    for operation in allowed(name, reference):
        pair = Pair(*{**CLASSES, **OWN}[name], reference)
        for why in ("the start", "a step", "another step"):
            pair.step(why)
        assert len(pair.served) == len(pair.ours.params), "the steps before are taken by compiled kernels"
        for again in range(2):
            pair.do(operation)
            for _ in range(2):
                pair.step(f"{operation.__name__}, {again + 1}. time")


@pytest.mark.parametrize(("name", "reference"), CASES)
def test_many_things_one_after_the_other(name: str, reference: str) -> None:
    operations = allowed(name, reference)
    for seed in range(10):
        random = Random(seed)
        pair = Pair(*{**CLASSES, **OWN}[name], reference)
        done = ["the start"]
        for _ in range(12):
            for operation in random.sample(operations, random.choice((0, 0, 1, 1, 2))):
                pair.do(operation)
                done.append(operation.__name__)
            pair.step(", ".join(done))
