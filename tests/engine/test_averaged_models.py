"""torch.optim.swa_utils works round every optimizer: averages of the weights, and their schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd as optim
from engine.common import OWN, SHARED, noise, ours, torchs
from zerograd.swa_utils import SWALR, AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, get_swa_multi_avg_fn

AVERAGES: dict[str, dict[str, Any]] = {
    "SWA": {},
    "SWA, all at once": {"multi_avg_fn": get_swa_multi_avg_fn()},
    "EMA": {"avg_fn": get_ema_avg_fn(0.9)},
    "EMA, all at once": {"multi_avg_fn": get_ema_multi_avg_fn(0.9)},
}


def averaged(make: Any, name: str, how: str) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Weights, averaged weights and the learning rates of eight steps, averaged from the third on."""
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = make(name, model.parameters(), lr=0.1)
    average = AveragedModel(model, **AVERAGES[how])
    schedule = SWALR(optimizer, swa_lr=0.02, anneal_epochs=4)
    rates, seen = [], []
    for step in range(8):
        optimizer.zero_grad()
        model(noise(step, 4, 3)).square().mean().backward()
        optimizer.step()
        if step >= 2:
            average.update_parameters(model)
            schedule.step()
            seen.append([p.detach().clone() for p in model.parameters()])
        rates.append(float(optimizer.param_groups[0]["lr"]))
    expected = seen[0]
    for i, weights in enumerate(seen[1:], 1):
        share = 0.1 if how.startswith("EMA") else 1 / (i + 1)
        expected = [e + (w - e) * share for e, w in zip(expected, weights, strict=True)]
    got = [p.detach() for p in average.module.parameters()]
    # The average is a sum of weights in float32, taken here in another order of operations.
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    return [p.detach() for p in model.parameters()], got, rates


@pytest.mark.parametrize("how", AVERAGES)
@pytest.mark.parametrize("name", SHARED)
def test_averages_of_a_run_are_torchs(name: str, how: str) -> None:
    mine, theirs = (averaged(make, name, how) for make in (ours, torchs))
    # Eight steps in float32 with other last bits.
    torch.testing.assert_close(mine[0], theirs[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mine[1], theirs[1], rtol=1e-3, atol=1e-4)
    assert mine[2] == theirs[2]


@pytest.mark.parametrize("name", OWN)
def test_weights_are_averaged_under_every_other_class(name: str) -> None:
    weights, average, rates = averaged(ours, name, "EMA, all at once")
    assert rates[-1] == pytest.approx(0.02)
    assert not all(torch.equal(a, w) for a, w in zip(average, weights, strict=True))


def test_batch_norm_statistics_of_the_average_can_be_renewed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = optim.AdamW(model.parameters(), lr=0.1)
    average = AveragedModel(model)
    loader = [noise(i, 8, 3) for i in range(3)]
    for x in loader:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        average.update_parameters(model)
    optim.swa_utils.update_bn(loader, average)
    pre = torch.cat([average.module[0](x) for x in loader])
    # Means over three equal batches are means over all of them, up to rounding.
    torch.testing.assert_close(average.module[1].running_mean, pre.mean(0).detach(), rtol=1e-5, atol=1e-6)
