"""Tables of numbers as samples: split, and brought to one scale."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zerograd.training.samples import Samples

KEPT = 0.25
"""The part of a table that is kept for validation."""


def split(inputs: Any, targets: Any, *, by_class: bool = False) -> tuple[Samples, Samples]:
    """A training and a validation set from two arrays, always the same; ``by_class``: with the same share of each."""
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    order = range(len(targets))
    train, kept = train_test_split(order, test_size=KEPT, stratify=targets if by_class else None, random_state=0)
    x, y = torch.as_tensor(inputs), torch.as_tensor(targets)
    return Samples(x[train], y[train]), Samples(x[kept], y[kept])


def standardized(train: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Every column with mean 0 and standard deviation 1, as the training set says, in float32."""
    center, scale = train.mean(0), train.std(0, correction=0)
    return ((train - center) / scale).float(), ((kept - center) / scale).float()


def in_standard_units(sets: tuple[Samples, Samples]) -> tuple[Samples, Samples]:
    """Both sets with standardized inputs."""
    train, kept = sets
    inputs = standardized(train.inputs, kept.inputs)
    return Samples(inputs[0], train.targets), Samples(inputs[1], kept.targets)
