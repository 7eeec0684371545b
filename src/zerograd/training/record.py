"""What one epoch gave: a line of record.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class EpochRecord:
    """The numbers of one epoch. What a task doesn't have (a test set, classes) is None."""

    epoch: int
    train_loss: float
    """As seen while training: over the epoch, before each step, with dropout where the model has it."""
    train_accuracy: float | None
    test_loss: float | None
    """After the epoch, in evaluation mode; the accuracies and losses are means over samples."""
    test_accuracy: float | None
    lr: float
    """The learning rate of the epoch's first step."""
    grad_norm: float
    """The norm of the whole gradient, the mean over the epoch's steps."""
    samples_per_second: float
    """Of the training alone, without the evaluation."""
    seconds: float
    """Since the first epoch began."""

    @property
    def diverged(self) -> bool:
        """Whether a loss is infinite or not a number: training can't come back from that."""
        return not all(math.isfinite(loss) for loss in (self.train_loss, self.test_loss) if loss is not None)

    def numbers(self) -> dict[str, float]:
        """The numbers that this task has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def json_line(numbers: Mapping[str, float]) -> str:
    """One line of JSON. It has no word for infinity or "not a number": such a number becomes null."""
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return json.dumps(finite, allow_nan=False) + "\n"
