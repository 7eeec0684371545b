"""Softmax regression: the images of the task ``digits``, read by one linear layer.

Over five seeds the objective, with the decay of scikit-learn's C = 1, ends 0.4 % to 0.9 % above that of its
LogisticRegression, and 96.7 % to 97.3 % of the images kept are read right; LogisticRegression: 96.9 %. A run takes half
a second.
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
