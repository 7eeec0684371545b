"""What a task is: something to train, with the settings that suit it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from zerograd.training.samples import Samples

BatchSize = int | Literal["all"]


@dataclass(frozen=True)
class Task:
    """A model, its samples, its loss, and the defaults for whatever the user leaves open.

    ``model`` is called first and ``samples`` second, right after the seed was set.
    """

    name: str
    model: Callable[[], nn.Module]
    samples: Callable[[], tuple[Samples, Samples | None]]
    """The training set, and the test set if the task has one."""
    loss: nn.Module

    optimizer: str
    lr: float
    """This and ``weight_decay`` belong to the task's own optimizer; another one brings its own defaults."""
    weight_decay: float
    epochs: int
    batch_size: BatchSize
    schedule: Callable[[float], float]
    """The part of the training that is done (0 to 1) -> a factor for the learning rate."""

    threads: int = 1
    """How many threads compute: for a small network one is faster than two that wait for each other."""
    line_by_line: bool = False
    """One line an epoch, on a terminal too."""


def constant(done: float) -> float:  # noqa: ARG001 - a schedule is given how much is done
    """The same learning rate from start to end."""
    return 1.0


def cosine(done: float) -> float:
    """From the full learning rate down to 0 along half a cosine."""
    return (1.0 + math.cos(math.pi * done)) / 2.0
