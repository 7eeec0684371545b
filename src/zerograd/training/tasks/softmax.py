"""Softmax regression: the images of the task ``digits``, read by one linear layer.

PLACEHOLDER
"""

from __future__ import annotations

from torch import nn

from zerograd.training.task import Task, cosine
from zerograd.training.tasks.digits import images

C = 1.0
"""Of scikit-learn: the larger, the weaker the decay of the weights."""
TRAINED = 1347

TASK = Task(
    name="softmax",
    model=lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
    samples=images,
    loss=nn.CrossEntropyLoss(),
    optimizer="Adam",
    lr=0.1,
    weight_decay=1 / (C * TRAINED),
    epochs=40,
    batch_size=64,
    schedule=cosine,
)
