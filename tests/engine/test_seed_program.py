"""The seed program, run as a script with one line changed, prints what it prints with torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """\
import torch
import torch.nn as nn
import {module} as optim

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
loss_fn = nn.MSELoss()
optimizer = optim.{name}(model.parameters(), lr=0.01)

inputs = torch.randn(5, 10)
targets = torch.randn(5, 1)

for epoch in range(5):
    optimizer.zero_grad()
    outputs = model(inputs)
    loss = loss_fn(outputs, targets)
    loss.backward()
    optimizer.step()
    print(f"Epoch {{epoch + 1}}, Loss: {{loss.item()}}")
"""
OTHERS = ["Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Rprop", "ASGD"]


def printed(module: str, name: str) -> str:
    program = PROGRAM.format(module=module, name=name)
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout


def losses(text: str) -> list[float]:
    return [float(line.split("Loss: ")[1]) for line in text.splitlines()]


def test_sgd_prints_the_same_characters_as_torch() -> None:
    ours = printed("zerograd", "SGD")
    assert ours.startswith("Epoch 1, Loss: ")
    assert ours == printed("torch.optim", "SGD")


@pytest.mark.parametrize("name", OTHERS)
def test_the_losses_of_every_other_class_agree(name: str) -> None:
    scope: dict[str, dict[str, object]] = {"torch.optim": {}, "zerograd": {}}
    found = {}
    for module in scope:
        lines: list[str] = []
        program = PROGRAM.format(module=module, name=name)
        exec(compile(program, module, "exec"), {"print": lines.append})
        found[module] = losses("\n".join(lines))
    assert len(found["zerograd"]) == 5
    assert found["zerograd"] == pytest.approx(found["torch.optim"], rel=1e-6)
