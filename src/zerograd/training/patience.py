"""The best epoch so far, and when to stop waiting for a better one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from zerograd.errors import UsageError, did_you_mean

Mode = Literal["min", "max"]
SMALLER = ("loss", "error", "mae", "mse", "rmse", "perplexity")
"""Metrics of which less is better: those whose last word is one of these. Of all others more is better."""


@dataclass
class Best:
    """The best epoch by one number of the record.

    metric: its name, such as "test_loss". patience: so many epochs without a better one are enough; None: never.
    """

    metric: str
    mode: Mode
    patience: int | None = None
    value: float | None = None
    epoch: int = 0
    step: int = 0
    waited: int = 0

    @classmethod
    def by(cls, name: str | None, patience: int | None, held_out: Iterable[str]) -> Best:
        """By a name with or without its direction, "test_loss" or "test_score:max".

        None means the loss of the first part that is held out, or else that of training.
        """
        if name is None:
            name = f"{next(iter(held_out), 'train')}_loss"
        metric, _, mode = name.partition(":")
        if mode not in ("", "min", "max"):
            raise UsageError(f"--metric {name}: after the colon stands min or max, not {mode!r}.")
        smaller = metric.rpartition("_")[2] in SMALLER
        return cls(metric, "min" if mode == "min" or (not mode and smaller) else "max", patience)

    def see(self, line: Mapping[str, float], step: int) -> bool:
        """Take notice of an epoch; whether it is the best so far. One that is not a number is never the best."""
        if self.metric not in line:
            names = [name for name in line if name.split("_")[0] in ("train", "valid", "test")]
            raise UsageError(f"The record has no {self.metric!r}. {did_you_mean(self.metric, names)}")
        value = line[self.metric]
        better = not math.isnan(value) and (
            self.value is None or (value < self.value if self.mode == "min" else value > self.value)
        )
        if better:
            self.value, self.epoch, self.step, self.waited = value, int(line["epoch"]), step, 0
        else:
            self.waited += 1
        return better

    @property
    def enough(self) -> bool:
        """Whether there was no better epoch for as long as the patience lasts."""
        return self.patience is not None and self.waited >= self.patience

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"value": self.value, "epoch": self.epoch, "step": self.step, "waited": self.waited}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state()`` gave."""
        self.value, self.epoch, self.step, self.waited = (state[n] for n in ("value", "epoch", "step", "waited"))
