"""The guard names 8-bit states that a gradient without a code has made nan, at any level and with any action."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

import zerograd
from zerograd.lifecycle.findings import Finding


def trained(at: int, steps: int, **guard: Any) -> Any:
    """The guard of a run, one step of which has a finite gradient whose square is infinite; and what has
    to stay alive for it."""
    model = nn.Linear(64, 128)
    optimizer = zerograd.AdamW(model.parameters(), lr=0.01, state_format="int8")
    handle = zerograd.guard(optimizer, model, **guard)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        model(torch.ones(2, 64)).sum().backward()
        if step == at:
            model.weight.grad[3, 5] = 1e25  # type: ignore[index]
        optimizer.step()
    return handle, (model, optimizer)


@pytest.mark.parametrize("level", ["default", "strict"])
@pytest.mark.parametrize(("at", "steps"), [(1, 6), (60, 560), (6, 6), (0, 6)])
def test_it_is_named_once_while_the_program_runs_or_at_its_end(at: int, steps: int, level: str) -> None:
    found: list[Finding] = []
    handle, _alive = trained(at, steps, action=found.append, level=level)
    assert len(found) == (0 < at < steps)
    handle.remove()
    assert len(found) == (at > 0)
    for finding in found:
        assert (finding.code, finding.name) == ("ZG801", "poisoned-state")
        assert finding.as_object()["parameters"] == ["weight"]
        assert "exp_avg_sq of weight (1 group)" in finding.message
        assert finding.as_object()["locations"][0].startswith(__file__)


def test_it_warns_or_raises_in_place_of_the_next_steps() -> None:
    with pytest.warns(zerograd.HazardWarning, match=r"ZG801 .*exp_avg_sq of weight"):
        trained(1, 6)
    with warnings.catch_warnings(), pytest.raises(zerograd.HazardError, match=r"before step 2 of AdamW .*exp_avg_sq"):
        trained(1, 6, action="raise")
