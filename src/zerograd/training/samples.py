"""Samples: inputs with their targets, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Data(Protocol):
    """What a task can be trained on: so many samples, and any of them by their numbers."""

    def __len__(self) -> int: ...

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The inputs and the targets of some samples. ``chosen``: int64, one dimension; the same gives the same."""
        ...


@dataclass(frozen=True)
class Samples:
    """Inputs with their targets, one row each: tensors of any shape and dtype that agree in the first dimension."""

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The rows whose numbers ``chosen`` (int64) holds."""
        return self.inputs[chosen], self.targets[chosen]
