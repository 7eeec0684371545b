"""What the user asked for, checked as far as it can be without importing torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from zerograd.errors import UsageError, did_you_mean
from zerograd.training.tasks import check_task_name

LARGEST = LARGEST_SEED = 2**63 - 1
LARGEST_THREADS = 1024
"""With very many torch ends without a word."""
SCHEDULES = ("constant", "cosine", "linear", "onecycle", "step")
AMPS = ("bf16", "fp16")
NONFINITE = ("raise", "skip", "propagate")


@dataclass(frozen=True)
class Settings:
    """The options of `zerograd train`. None leaves the choice to the task or to the optimizer.

    Raises UsageError, with the name of the option, for what can't work.
    """

    task: str = "digits"
    optimizer: str | None = None
    lr: float | None = None
    weight_decay: float | None = None
    epochs: int | None = None
    batch_size: int | Literal["all"] | None = None
    seed: int = 0
    out: Path | None = None
    forget_zero_grad: bool = False
    schedule: str | None = None
    warmup: int = 0
    clip: float | None = None
    accumulate: int = 1
    amp: str | None = None
    compile: bool = False
    state_format: str | None = None
    weight_format: str | None = None
    valid: float = 0.0
    metric: str | None = None
    patience: int | None = None
    nonfinite: Literal["raise", "skip", "propagate"] = "raise"
    keep: int = 0
    save_every: int | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        check_task_name(self.task)
        _finite("--lr", self.lr, above=True, hint="Most optimizers want 0.1 to 0.0001.")
        _finite("--weight-decay", self.weight_decay, above=False, hint="0 means none.")
        _finite("--clip", self.clip, above=True, hint="It is the largest norm that a gradient may have; often 1.")
        if not 0 <= self.valid < 1:
            raise UsageError(f"--valid must be 0 or above and less than 1, not {self.valid:g}: a part of the samples.")
        _at_least(1, "--epochs", self.epochs, "an epoch is one pass over the data.")
        if self.batch_size not in (None, "all") and (not isinstance(self.batch_size, int) or self.batch_size < 1):
            raise UsageError(f"--batch-size must be 1 or more, or the word 'all', not {self.batch_size!r}.")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"--seed must be a whole number from 0 to {LARGEST_SEED}, not {self.seed}.")
        _at_least(0, "--warmup", self.warmup, "so many steps the learning rate rises.")
        _at_least(1, "--accumulate", self.accumulate, "so many batches make one step.")
        _at_least(1, "--patience", self.patience, "so many epochs without a better one are waited for.")
        _at_least(0, "--keep", self.keep, "so many older checkpoints are kept.")
        _at_least(1, "--save-every", self.save_every, "a checkpoint after so many steps.")
        _at_least(1, "--threads", self.threads, "so many threads compute.", LARGEST_THREADS)
        _one_of("--schedule", self.schedule, SCHEDULES)
        _one_of("--amp", self.amp, AMPS)
        _one_of("--nonfinite", self.nonfinite, NONFINITE)
        if self.forget_zero_grad and self.task != "seed":
            raise UsageError(
                f"--forget-zero-grad is a lesson about the task 'seed', not about {self.task!r}: "
                "zerograd train seed --forget-zero-grad"
            )

    def as_object(self) -> dict[str, Any]:
        """In words that JSON has; the folder is known to whoever reads it."""
        return {name: value for name, value in asdict(self).items() if name != "out"}

    @classmethod
    def read(cls, config: Mapping[str, Any], out: Path) -> Settings:
        """The settings of a run from its config.json. Raises UsageError if they are not there."""
        try:
            return cls(**config["settings"], out=out)
        except (KeyError, TypeError) as error:
            raise UsageError(f"{out} can't be resumed: its config.json does not hold the settings of a run.") from error


def _finite(option: str, value: float | None, *, above: bool, hint: str) -> None:
    if value is None or (math.isfinite(value) and (value > 0 if above else value >= 0)):
        return
    wanted = "above 0" if above else "0 or above"
    separator = " " if above else ", "
    raise UsageError(f"{option} must be a finite number{separator}{wanted}, not {value:g}. {hint}")


def _at_least(least: int, option: str, value: int | None, meaning: str, most: int = LARGEST) -> None:
    if value is None:
        return
    if not isinstance(value, int):
        raise UsageError(f"{option} must be a whole number, not {value!r}: {meaning}")
    if value < least:
        raise UsageError(f"{option} must be {least} or more, not {value}: {meaning}")
    if value > most:
        raise UsageError(f"{option} must be at most {most}, not {value}: {meaning}")


def _one_of(option: str, value: str | None, names: Iterable[str]) -> None:
    if value is not None and value not in names:
        raise UsageError(f"{option} knows no {value!r}. {did_you_mean(value, names)}")
