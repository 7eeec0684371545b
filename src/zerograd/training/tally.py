"""What the batches of an epoch add up to."""

from __future__ import annotations

from torch import Tensor


class Tally:
    """Adds up batches and gives the means over all their samples."""

    def __init__(self) -> None:
        self.samples = 0
        self.batches = 0
        self._loss = 0.0
        self._right: float | None = None
        self._gradient_norm = 0.0

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor, gradient_norm: float = 0.0) -> None:
        """Count one batch. ``loss`` is the mean over its samples, and a smaller batch weighs less."""
        self.samples += len(targets)
        self.batches += 1
        self._loss += loss.item() * len(targets)
        self._gradient_norm += gradient_norm
        if not targets.is_floating_point():  # classes: right or wrong; numbers are only near or far
            self._right = (self._right or 0.0) + (outputs.argmax(dim=1) == targets).sum().item()

    @property
    def loss(self) -> float:
        """The mean loss of a sample."""
        return self._loss / self.samples

    @property
    def accuracy(self) -> float | None:
        """The part of the samples whose class was right; None if the targets are not classes."""
        return None if self._right is None else self._right / self.samples

    @property
    def gradient_norm(self) -> float:
        """The mean over the batches of the norm of the whole gradient."""
        return self._gradient_norm / self.batches
