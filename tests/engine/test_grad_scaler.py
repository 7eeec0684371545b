"""GradScaler works in the plain way: it unscales first, and leaves the step out where a gradient is not finite."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import OWN, SHARED, noise, ours, torchs


def run(make: Any, name: str, losses: list[float], *, unscale: bool) -> tuple[torch.Tensor, Any, float]:
    p = noise(0, 3).requires_grad_()
    optimizer = make(name, [p])
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=100)
    for factor in losses:
        optimizer.zero_grad()
        scaler.scale((p * noise(1, 3)).sum() * factor).backward()
        if unscale:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_([p], 0.5)
        scaler.step(optimizer)
        scaler.update()
    return p.detach(), optimizer, scaler.get_scale()


@pytest.mark.parametrize("unscale", [False, True], ids=["alone", "with clipping"])
@pytest.mark.parametrize("name", SHARED)
def test_a_scaled_run_is_torchs(name: str, unscale: bool) -> None:
    theirs, mine = (run(make, name, [1.0, 2.0, 3.0], unscale=unscale) for make in (torchs, ours))
    torch.testing.assert_close(theirs[0], mine[0], rtol=1e-5, atol=1e-7)
    assert theirs[2] == mine[2] == 512.0


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_an_overflow_leaves_the_step_out_and_counts_nothing(name: str) -> None:
    with_overflow = run(ours, name, [1.0, float("inf"), 2.0], unscale=False)
    without = run(ours, name, [1.0, 2.0], unscale=False)
    # The second loss is scaled by 256 instead of 512, powers of two: not even rounding differs.
    assert torch.equal(with_overflow[0], without[0])
    assert with_overflow[2] == 256.0
    held = [next(iter(optimizer.state.values())) for optimizer in (with_overflow[1], without[1]) if optimizer.state]
    if held:
        assert held[0].keys() == held[1].keys()
        assert all(torch.equal(held[0][key], held[1][key]) for key in held[0])


def test_no_class_asks_the_scaler_to_step_on_scaled_gradients() -> None:
    assert not any(getattr(getattr(optim, name), "_step_supports_amp_scaling", False) for name in [*SHARED, *OWN])
