"""What the user asked for, checked as far as it can be without importing torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zerograd.errors import UsageError
from zerograd.training.tasks import check_task_name

LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Settings:
    """The options of `zerograd train`. None leaves the choice to the task or to the optimizer."""

    task: str = "digits"
    optimizer: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    epochs: int | None = None
    batch_size: int | Literal["all"] | None = None
    seed: int = 0
    out: Path | None = None
    forget_zero_grad: bool = False

    def __post_init__(self) -> None:
        check_task_name(self.task)
        if self.lr is not None and not (self.lr > 0 and math.isfinite(self.lr)):
            raise UsageError(
                f"--lr must be a finite number above 0, not {self.lr:g}. Most optimizers want 0.1 to 0.0001."
            )
        if self.weight_decay is not None and not (self.weight_decay >= 0 and math.isfinite(self.weight_decay)):
            raise UsageError(
                f"--weight-decay must be a finite number, 0 or above, not {self.weight_decay:g}. 0 means none."
            )
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"--epochs must be 1 or more, not {self.epochs}: an epoch is one pass over the data.")
        if isinstance(self.batch_size, int) and self.batch_size < 1:
            raise UsageError(f"--batch-size must be 1 or more, or the word 'all', not {self.batch_size}.")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"--seed must be a whole number from 0 to {LARGEST_SEED}, not {self.seed}.")
        if self.forget_zero_grad and self.task != "seed":
            raise UsageError(
                f"--forget-zero-grad is a lesson about the task 'seed', not about {self.task!r}: "
                "zerograd train seed --forget-zero-grad"
            )
