"""What a task is: something to train, with the settings that suit it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from zerograd.training.samples import Data, Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BatchSize = int | Literal["all"]
Loss = Callable[[Tensor, Tensor], Tensor]
"""(outputs, targets) -> one number, the mean over what ``Task.count`` counts."""


def constant(done: float) -> float:  # noqa: ARG001 - a schedule is given how much is done
    """The same learning rate from start to end."""
    return 1.0


def cosine(done: float) -> float:
    """From the full learning rate down to 0 along half a cosine."""
    return (1.0 + math.cos(math.pi * done)) / 2.0


@dataclass(frozen=True)
class Task:
    """A model, its samples, its loss, and the defaults for whatever the user leaves open.

    ``model`` is called first and ``samples`` second, right after the seed was set: called again with the same seed they
    give the same. The order of the samples is the loop's.
    """

    name: str
    model: Callable[[], nn.Module]
    samples: Callable[[], tuple[Data, Data | None]]
    """The training set, and the test set if the task has one: both with one sample a row."""
    loss: Loss

    optimizer: str = "AdamW"
    lr: float | None = None
    """This and ``weight_decay`` belong to the task's own optimizer. None, and another optimizer: its own default."""
    weight_decay: float | None = None
    epochs: int = 10
    batch_size: BatchSize = 32
    schedule: Callable[[float], float] = constant
    """The part of the training that is done (0 to 1) -> a factor for the learning rate."""

    metrics: Mapping[str, Loss] | None = None
    """More numbers by name, each a mean as the loss is. None: ``accuracy``, if the targets are classes."""
    count: Callable[[Tensor], int] = len
    """Targets of a batch -> how many things ``loss`` is the mean of: rows, or tokens."""
    unit: str = "samples"
    """What ``count`` counts, in the plural."""
    sparse: bool = False
    """The model gives sparse gradients: clipping and many optimizers can't be used."""
    observe: Callable[[nn.Module], Mapping[str, float]] | None = None
    """Numbers about the model itself, for the line of the record that an epoch writes."""
    picture: Callable[[Sequence[Mapping[str, float]], str], Figure] | None = None
    """(lines of the record, title) -> a picture in the place of the curves."""
    note: Callable[[], str] | None = None
    """A sentence that a reader of the results has to know, asked for after ``samples``."""

    threads: int = 1
    """How many threads compute: for a small network one is faster than two that wait for each other."""
    line_by_line: bool = False
    """One line an epoch, on a terminal too."""


def no_samples() -> tuple[Samples, None]:
    """For a task without data, such as a function to descend: one sample with nothing in it."""
    return Samples(torch.zeros(1, 0), torch.zeros(1)), None


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """The part of the targets, class numbers, that are where the outputs are largest; classes are dimension 1."""
    return (outputs.argmax(dim=1) == targets).double().mean()
