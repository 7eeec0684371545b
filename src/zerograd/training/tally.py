"""What the batches of an epoch add up to."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from zerograd.training.task import Loss, accuracy


class Tally:
    """Adds up batches and gives the means over all their samples, or whatever ``count`` counts.

    metrics: name -> (outputs, targets) -> mean. None: the accuracy, if the targets are classes.
    """

    def __init__(self, metrics: Mapping[str, Loss] | None = None, count: Callable[[Tensor], int] = len) -> None:
        self.samples = 0
        self.steps = 0
        self._metrics = metrics
        self._count = count
        self._sums: dict[str, float] = {"loss": 0.0}
        self._gradient_norm = 0.0

    def add(self, loss: float, outputs: Tensor, targets: Tensor) -> None:
        """Count one batch. ``loss`` is the mean over its samples, and a smaller batch weighs less."""
        count = self._count(targets)
        self.samples += count
        self._sums["loss"] += loss * count
        outputs = outputs.detach()
        for name, metric in self._chosen(outputs, targets).items():
            with torch.no_grad():
                self._sums[name] = self._sums.get(name, 0.0) + float(metric(outputs, targets)) * count

    def add_step(self, gradient_norm: float) -> None:
        """Count one step."""
        self.steps += 1
        self._gradient_norm += gradient_norm

    def _chosen(self, outputs: Tensor, targets: Tensor) -> Mapping[str, Loss]:
        if self._metrics is not None:
            return self._metrics
        classes = not (targets.is_floating_point() or targets.is_complex()) and outputs.dim() == targets.dim() + 1
        return {"accuracy": accuracy} if classes else {}

    @property
    def loss(self) -> float:
        """The mean loss of a sample."""
        return self.means()["loss"]

    @property
    def accuracy(self) -> float | None:
        """The part of the samples whose class was right; None if the targets are not classes."""
        return self.means().get("accuracy")

    @property
    def gradient_norm(self) -> float:
        """The mean over the steps of the norm of the whole gradient."""
        return self._gradient_norm / self.steps if self.steps else math.nan

    def means(self) -> dict[str, float]:
        """The loss and the metrics, each the mean over all samples."""
        return {name: total / self.samples if self.samples else math.nan for name, total in self._sums.items()}

    def state(self) -> dict[str, Any]:
        """The sums, for a checkpoint."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "sums": dict(self._sums),
            "gradient_norm": self._gradient_norm,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state()`` gave."""
        self.samples, self.steps = state["samples"], state["steps"]
        self._sums, self._gradient_norm = dict(state["sums"]), state["gradient_norm"]
