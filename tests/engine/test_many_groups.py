"""What a step asks of each group is asked a fixed number of times, however many groups there are."""

from __future__ import annotations

import pytest
import torch

import zerograd as optim
from zerograd.engine.state_formats import StateChoices

FEW, MANY = 5, 40


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_formats_are_looked_up_in_proportion_to_the_groups(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    before = StateChoices.spec

    def counting(self: StateChoices, group: dict[str, object]) -> object:
        asked[-1] += 1
        return before(self, group)

    monkeypatch.setattr(StateChoices, "spec", counting)
    for groups in (FEW, MANY):
        params = [torch.ones(4, requires_grad=True) for _ in range(groups)]
        for p in params:
            p.grad = torch.ones(4)
        optimizer = getattr(optim, name)([{"params": [p]} for p in params], lr=0.1)
        asked.append(0)
        optimizer.step()
    few, many = asked
    assert many * FEW <= few * MANY  # a fixed part aside, which makes it less than that
