"""Autograd sees that a step wrote: a backward that needs the old weights raises, never computes with the new ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from engine.common import OWN, SHARED, noise, ours

DTYPES = [torch.float32, torch.float64, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_a_weight_that_a_step_changed_between_forward_and_backward_is_an_error(name: str, dtype: torch.dtype) -> None:
    layer = nn.Linear(4, 4, dtype=dtype)
    optimizer = ours(name, layer.parameters())
    for step in range(3):  # the first is gathered, later ones are planned
        x = noise(step, 2, 4, dtype=dtype).requires_grad_()
        layer(x).square().mean().backward()
        stale = layer(x).square().mean()
        optimizer.step()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            stale.backward()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_what_a_step_did_not_write_may_still_be_used(name: str) -> None:
    used, unused = nn.Linear(4, 4), nn.Linear(4, 4)
    optimizer = ours(name, [*used.parameters(), *unused.parameters()])
    x: Any = noise(0, 2, 4).requires_grad_()
    used(x).square().mean().backward()
    still_good = unused(x).square().mean()
    optimizer.step()
    still_good.backward()
    assert unused.weight.grad is not None
