"""Samples: inputs with their targets, whole or in batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Data(Protocol):
    """What a task can be trained on: so many samples, and any of them by their numbers."""

    def __len__(self) -> int: ...

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and the targets of some samples. ``chosen``: int64, one dimension; the same gives the same."""
        ...


@dataclass(frozen=True)
class Samples:
    """Inputs with their targets, one row each."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The rows whose numbers ``chosen`` (int64) holds."""
        return self.inputs[chosen], self.targets[chosen]


class Batches:
    """Every sample once, in batches: each pass over this object is one epoch, in a new random order.

    The order comes from a generator of its own. One batch of all samples needs no order and keeps the one it has.
    """

    def __init__(self, samples: Samples, size: int, seed: int) -> None:
        self.samples = samples
        self.size = size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.samples) // self.size)  # rounded up: the last batch may be smaller

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        inputs, targets = self.samples.inputs, self.samples.targets
        if self.size >= len(self.samples):
            yield inputs, targets
            return
        order = torch.randperm(len(self.samples), generator=self.generator)
        for chosen in torch.split(order, self.size):
            yield inputs[chosen], targets[chosen]
