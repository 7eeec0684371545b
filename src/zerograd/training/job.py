"""What a run is made of, how far it is, and both of them as a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from zerograd.errors import UsageError
from zerograd.training.batches import Batch, LoaderBatches, Source
from zerograd.training.patience import Best
from zerograd.training.random_state import randomness, set_randomness
from zerograd.training.tally import Tally
from zerograd.training.task import Loss

AMP = {"bf16": torch.bfloat16, "fp16": torch.float16}
VERSION = 1


@dataclass
class Progress:
    """How far a run is. A checkpoint is only ever made between two steps, so there is never half a window."""

    epoch: int = 1
    """The epoch at work, counted from 1."""
    batches: int = 0
    """How many of its batches have been used."""
    step: int = 0
    """The optimizer's steps, all epochs together."""
    lr: float = 0.0
    """The learning rate of the epoch's first step."""
    seconds: float = 0.0
    training_seconds: float = 0.0
    finished: bool = False
    epoch_randomness: dict[str, Any] | None = None
    """Where the random numbers stood when the epoch began."""
    tally: Tally = field(default_factory=Tally)


@dataclass
class Job:
    """All that the loop needs."""

    model: nn.Module
    optimizer: Optimizer
    loss: Loss
    source: Source
    best: Best
    epochs: int = 1
    scheduler: LRScheduler | ReduceLROnPlateau | None = None
    scheduler_each: Literal["step", "epoch"] = "step"
    held_out: Mapping[str, Source] = field(default_factory=dict)
    """Names such as "valid" and "test", and the samples that nothing is learnt from."""
    metrics: Mapping[str, Loss] | None = None
    count: Callable[[Tensor], int] = len
    observe: Callable[[nn.Module], Mapping[str, float]] | None = None
    every: int = 1
    """Batches in an accumulation window."""
    clip: float | None = None
    """For optimizers that don't clip themselves."""
    amp: str | None = None
    nonfinite: Literal["raise", "skip", "propagate"] = "raise"
    scaler: torch.amp.GradScaler | None = None
    forward: Callable[[Tensor], Tensor] = field(init=False)
    """The model, or what torch.compile made of it."""

    def __post_init__(self) -> None:
        self.forward = self.model
        if self.amp == "fp16" and self.scaler is None:
            self.scaler = torch.amp.GradScaler(self.device)

    @property
    def device(self) -> str:
        """The kind of device that the model is on."""
        return next((p.device.type for p in self.model.parameters()), "cpu")

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        return nullcontext() if self.amp is None else torch.autocast(self.device, dtype=AMP[self.amp])

    def new_tally(self) -> Tally:
        return Tally(self.metrics, self.count)

    def remaining(self, progress: Progress) -> Iterator[Batch]:
        """What is left of the epoch's batches, as if the run had never been stopped."""
        if not isinstance(self.source, LoaderBatches):
            return self.source.epoch(progress.epoch, progress.batches)
        return self._of_loader(self.source, progress)

    def _of_loader(self, source: LoaderBatches, progress: Progress) -> Iterator[Batch]:
        generators = source.generators()
        if progress.epoch_randomness is None:
            progress.epoch_randomness = randomness(generators)
            yield from source.epoch(progress.epoch)
            return
        now = randomness()
        set_randomness(progress.epoch_randomness, generators)
        batches = source.epoch(progress.epoch, progress.batches)
        first = next(batches, None)  # reads over those that were used, with the random numbers that they had
        set_randomness(now)
        if first is not None:
            yield first
            yield from batches


def checkpoint(job: Job, progress: Progress) -> dict[str, Any]:
    """All that a run needs to go on, in what torch.load takes with weights_only=True.

    model: the weights that are trained; evaluated: only of an optimizer that averages, the weights to evaluate.
    """
    evaluated = _evaluated(job)
    return {
        "version": VERSION,
        "progress": {
            **{name: value for name, value in vars(progress).items() if name != "tally"},
            "tally": progress.tally.state(),
        },
        "best": job.best.state(),
        "model": job.model.state_dict(),
        **({"evaluated": evaluated} if evaluated is not None else {}),
        "optimizer": job.optimizer.state_dict(),
        "scheduler": _plain(job.scheduler.state_dict()) if job.scheduler is not None else None,
        "scaler": job.scaler.state_dict() if job.scaler is not None else None,
        "randomness": randomness(),
    }


def go_on_from(state: Mapping[str, Any], job: Job) -> Progress:
    """Put a job where ``checkpoint()`` found it. Raises UsageError if it is another model's or optimizer's."""
    if state.get("version") != VERSION:
        raise UsageError(f"The checkpoint has version {state.get('version')}, and this zerograd reads {VERSION}.")
    try:
        job.model.load_state_dict(state["model"])
        job.optimizer.load_state_dict(state["optimizer"])
        for part, name in ((job.scheduler, "scheduler"), (job.scaler, "scaler")):
            if (part is None) != (state[name] is None):
                raise ValueError(f"one has a {name}, the other has none")
            if part is not None:
                part.load_state_dict(state[name])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"The checkpoint belongs to another model or optimizer: {error}") from error
    job.best.load(state["best"])
    kept = dict(state["progress"])
    progress = Progress(**{**kept, "tally": job.new_tally()})
    progress.tally.load(kept["tally"])
    set_randomness(state["randomness"])
    return progress


def _evaluated(job: Job) -> dict[str, Any] | None:
    """The weights to evaluate, if they are others than those that are trained; afterwards the optimizer trains."""
    optimizer: Any = job.optimizer
    if not hasattr(optimizer, "eval") or getattr(optimizer, "view", optimizer) is None:
        return None
    optimizer.eval()
    weights = {name: value.clone() for name, value in job.model.state_dict().items()}
    optimizer.train()
    return weights


def _plain(state: dict[str, Any]) -> dict[str, Any]:
    """A scheduler's state without the functions in it, which are the program's."""
    return {name: value for name, value in state.items() if not callable(value)}
