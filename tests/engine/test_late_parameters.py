"""Parameters that come late, pause or never get a gradient go on as in torch, each with a step count of its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from engine.common import FLAGS, OWN, SHARED, noise, ours, torchs

pytestmark = pytest.mark.usefixtures("double")

SHAPES: list[tuple[int, ...]] = [(3,), (2, 2), (), (4,), (5,)]
ALWAYS, EVERY_OTHER, FROM_THE_THIRD, ONCE, NEVER = range(5)


def given(step: int) -> set[int]:
    """Which parameters have a gradient."""
    return (
        {ALWAYS}
        | ({EVERY_OTHER} if step % 2 else set())
        | ({FROM_THE_THIRD} if step >= 2 else set())
        | ({ONCE} if step == 1 else set())
    )


def run(make: Any, name: str, steps: int, **flags: Any) -> tuple[list[Tensor], Any]:
    params = [noise(i, *shape, dtype=torch.float64).requires_grad_() for i, shape in enumerate(SHAPES)]
    optimizer = make(name, params, **flags)
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = noise(10 * step + i, *p.shape, dtype=torch.float64) if i in given(step) else None
        optimizer.step()
    return params, optimizer


@pytest.mark.parametrize("name", SHARED)
def test_each_parameter_goes_its_own_way_as_in_torch(name: str) -> None:
    """1e-12: rounding in six float64 steps."""
    theirs, _ = run(torchs, name, 6, **FLAGS.get(name, {}))
    mine, _ = run(ours, name, 6, **FLAGS.get(name, {}))
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_what_has_no_gradient_is_not_touched(name: str) -> None:
    params, optimizer = run(ours, name, 6, **FLAGS.get(name, {}))
    never = noise(NEVER, 5, dtype=torch.float64)
    assert torch.equal(params[NEVER], never)
    assert (params[NEVER] in optimizer.state) == optimizer.starts_early
    if optimizer.starts_early:
        assert float(optimizer.state[params[NEVER]]["step"]) == 0
    if optimizer.keeps_step:
        counts = [float(optimizer.state[p]["step"]) for p in params[:NEVER]]
        assert counts == [6, 3, 4, 1]


@pytest.mark.parametrize("name", [name for name in [*SHARED, *OWN] if name not in ("Prodigy", "ScheduleFreeAdamW")])
def test_a_late_parameter_is_treated_as_if_it_were_alone(name: str) -> None:
    """Except where a number is shared by the group."""
    params, _ = run(ours, name, 6, **FLAGS.get(name, {}))
    alone = noise(FROM_THE_THIRD, dtype=torch.float64).requires_grad_()
    optimizer = ours(name, [alone], **FLAGS.get(name, {}))
    for step in range(2, 6):
        alone.grad = noise(10 * step + FROM_THE_THIRD, dtype=torch.float64)
        optimizer.step()
    torch.testing.assert_close(params[FROM_THE_THIRD], alone, rtol=1e-14, atol=1e-15)


def test_switching_a_flag_on_late_starts_the_state_then() -> None:
    """torch raises KeyError here; the new state starts at 0."""
    p = noise(0, 3, dtype=torch.float64).requires_grad_()
    optimizer = ours("RMSprop", [p])
    for step, momentum in enumerate([0.0, 0.9]):
        optimizer.param_groups[0]["momentum"] = momentum
        p.grad = noise(step, 3, dtype=torch.float64)
        optimizer.step()
        assert ("momentum_buffer" in optimizer.state[p]) == (momentum > 0)


@pytest.mark.parametrize("momenta", [(0, 0.9, 0, 0.9), (0.9, 0, 0, 0.9), (0, 0, 0.9, 0.5)], ids=str)
@pytest.mark.parametrize("dampening", [0.0, 0.4])
def test_momentum_that_goes_and_comes_keeps_its_buffer(momenta: tuple[float, ...], dampening: float) -> None:
    """Dropping out of the graph deletes no state; ``first`` is the buffer's first step, not the parameter's."""
    found = []
    for make in (torchs, ours):
        p = noise(0, 3, dtype=torch.float64).requires_grad_()
        optimizer = make("SGD", [p], lr=0.1, dampening=dampening)
        for step, momentum in enumerate(momenta):
            optimizer.param_groups[0]["momentum"] = momentum
            p.grad = noise(step + 1, 3, dtype=torch.float64)
            optimizer.step()
        found.append((p.detach(), optimizer.state[p]["momentum_buffer"]))
    for theirs, mine in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-15)
