"""The seed program: a tiny network, five random samples, and plain gradient descent, for five epochs.

    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
    loss_fn = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    inputs = torch.randn(5, 10)
    targets = torch.randn(5, 1)

It has nothing to test on: all there is to see is the loss going down.
"""

from __future__ import annotations

import torch
from torch import nn

from zerograd.training.samples import Samples
from zerograd.training.task import Task, constant


def tiny_network() -> nn.Module:
    """The seed program's model."""
    return nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))


def random_samples() -> tuple[Samples, None]:
    """The seed program's data: the inputs are drawn first, then the targets."""
    inputs = torch.randn(5, 10)
    targets = torch.randn(5, 1)
    return Samples(inputs, targets), None


TASK = Task(
    name="seed",
    model=tiny_network,
    samples=random_samples,
    loss=nn.MSELoss(),
    optimizer="SGD",
    lr=0.01,
    weight_decay=0.0,
    epochs=5,
    batch_size="all",
    schedule=constant,
    line_by_line=True,
)
