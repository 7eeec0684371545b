"""Handwritten digits: scikit-learn's 1,797 images of 8 x 8 pixels, and a small convolutional network."""

from __future__ import annotations

import torch
from torch import nn

from zerograd.training.samples import Samples
from zerograd.training.task import Task, cosine


def network() -> nn.Module:
    """Two convolutions, half the resolution, and one layer that reads the digit: 9,930 parameters."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32 * 4 * 4, 10),
    )


def images() -> tuple[Samples, Samples]:
    """A training and a test set, always the same: a quarter is kept for the test, with its share of every digit."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    data = load_digits()
    pixels = torch.from_numpy(data.images).float().unsqueeze(1) / 16.0  # (n, 1, 8, 8), from 0 to 1
    labels = torch.from_numpy(data.target).long()
    train, test = train_test_split(range(len(labels)), test_size=0.25, stratify=labels, random_state=0)
    return Samples(pixels[train], labels[train]), Samples(pixels[test], labels[test])


TASK = Task(
    name="digits",
    model=network,
    samples=images,
    loss=nn.CrossEntropyLoss(),
    optimizer="AdamW",
    lr=1e-2,
    weight_decay=1e-2,
    epochs=25,
    batch_size=64,
    schedule=cosine,
)
