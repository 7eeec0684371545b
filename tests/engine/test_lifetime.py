"""An optimizer that nobody uses any more is gone at once, with its parameters, gradients and state, as torch's is."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import OWN, SHARED, noise

CASES: dict[str, tuple[Callable[[Any], Any], Callable[[], torch.Tensor]]] = {
    **{name: (getattr(optim, name), lambda: noise(0, 4, 3)) for name in [*SHARED, *OWN, "Adafactor", "Muon"]},
    "complex": (optim.SGD, lambda: torch.complex(noise(0, 4), noise(1, 4))),
    "several threads": (optim.AdamW, lambda: noise(0, 300, 300)),
    "clipped": (lambda params: optim.AdamW(params, clip=1.0), lambda: noise(0, 4)),
    "per-tensor numbers": (lambda params: optim.NAdam(params), lambda: noise(0, 4)),
    "no dense memory": (optim.AdamW, lambda: noise(0, 8)[::2]),
}


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("case", CASES)
def test_nothing_waits_for_the_collector_of_cycles(case: str, steps: int) -> None:
    make, tensor = CASES[case]
    p = tensor().requires_grad_()
    optimizer = make([p])
    for _ in range(steps):
        p.grad = torch.ones_like(p)
        optimizer.step()
    gone = [weakref.ref(p), weakref.ref(optimizer)]
    del p, optimizer
    assert [one() for one in gone] == [None, None]
