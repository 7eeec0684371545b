"""A task as users write them, small enough to be trained in a moment, with all that is random in a run."""

import torch
from matplotlib.figure import Figure
from torch import nn

from zerograd.training import Samples, Task


def model():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))


def samples():
    inputs = torch.randn(50, 4)
    targets = inputs[:, :3].argmax(dim=1)
    return Samples(inputs[:40], targets[:40]), Samples(inputs[40:], targets[40:])


def spirals():
    return Task(
        name="spirals",
        model=model,
        samples=samples,
        loss=nn.CrossEntropyLoss(),
        lr=0.01,
        epochs=12,
        batch_size=8,
        picture=lambda *_: Figure(),  # an empty one takes no time
    )
