"""A whole run: from the settings to the last file."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

import torch
from rich.console import Console
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from zerograd.errors import UsageError
from zerograd.training.folder import RunFolder
from zerograd.training.loop import fit
from zerograd.training.optimizers import (
    all_hyperparameters,
    chosen_hyperparameters,
    optimizer_class,
    rehearse,
)
from zerograd.training.plots import training_curves
from zerograd.training.progress import in_a_bar, in_lines, say
from zerograd.training.record import EpochRecord
from zerograd.training.samples import Batches, Samples
from zerograd.training.settings import Settings
from zerograd.training.task import Task
from zerograd.training.tasks import task_named


@dataclass(frozen=True)
class Run:
    """All that a loop needs, ready to start."""

    task: Task
    seed: int
    epochs: int
    model: nn.Module
    optimizer: Optimizer
    scheduler: LambdaLR
    batches: Batches
    test: Samples | None

    @property
    def title(self) -> str:
        """What is trained, and with which optimizer."""
        return f"{self.task.name}, {type(self.optimizer).__name__}"

    def claim_folder(self, settings: Settings) -> RunFolder:
        """A folder of this run's own, with config.json in it."""
        folder = RunFolder.claim(settings.out, f"{self.task.name}-{type(self.optimizer).__name__.lower()}")
        folder.write_config(
            {
                "task": self.task.name,
                "optimizer": type(self.optimizer).__name__,
                "hyperparameters": all_hyperparameters(self.optimizer),
                "schedule": self.task.schedule.__name__,
                "epochs": self.epochs,
                "batch_size": self.batches.size,
                "seed": self.seed,
                "forget_zero_grad": settings.forget_zero_grad,
                "train_samples": len(self.batches.samples),
                "test_samples": len(self.test) if self.test is not None else 0,
                "parameters": sum(p.numel() for p in self.model.parameters()),
                "versions": {
                    "zerograd": version("zerograd"),
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                },
            }
        )
        return folder


def prepare(settings: Settings, *, epochs: int | None = None) -> Run:
    """Check what is left to check, and build everything. ``epochs`` takes the place of the task's default.

    Call it under ``own_randomness``: the model and some samples are drawn. When it refuses, nothing has been written.
    """
    task = task_named(settings.task)
    kind = optimizer_class(settings.optimizer if settings.optimizer is not None else task.optimizer)
    hyperparameters = chosen_hyperparameters(kind, task, settings)
    model = task.model()
    train, test = task.samples()

    size = settings.batch_size if settings.batch_size is not None else task.batch_size
    if size == "all":
        size = len(train)
    if size > len(train):
        raise UsageError(
            f"--batch-size {size} is more than the {len(train)} training samples of {task.name!r}. "
            "Use 'all' for all of them."
        )
    rehearse(kind, hyperparameters, model, task.loss, train)

    epochs = settings.epochs or epochs or task.epochs
    batches = Batches(train, size, settings.seed)
    optimizer = kind(model.parameters(), **hyperparameters)
    steps = epochs * len(batches)
    scheduler = LambdaLR(optimizer, lambda step: task.schedule(step / steps))
    return Run(task, settings.seed, epochs, model, optimizer, scheduler, batches, test)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Draw torch's random numbers from ``seed``; afterwards the caller's generator is where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch compute on ``count`` threads; afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_and_keep(settings: Settings, console: Console) -> bool:
    """Train as ``settings`` say, show it, and keep it in a run folder. False if the loss stopped being a number."""
    with own_randomness(settings.seed), threads(task_named(settings.task).threads):
        run = prepare(settings)
        folder = run.claim_folder(settings)
        passes = fit(
            run.model,
            run.optimizer,
            run.task.loss,
            run.batches,
            run.scheduler,
            epochs=run.epochs,
            test=run.test,
        )
        records = []
        for record in _shown(passes, run, console):
            folder.append_record(record.numbers())
            records.append(record)
    folder.write_curves(training_curves(records, run.title))
    folder.write_model(run.model)
    last = records[-1]
    if last.test_accuracy is not None and run.test is not None:
        say(console, f"Test accuracy {last.test_accuracy:.2%} on {len(run.test)} samples that it never learnt from")
    say(console, f"Saved in {folder.path}")
    if last.diverged:
        say(
            Console(stderr=True),
            f"Stopped after epoch {last.epoch}: the loss is not finite any more. Try a smaller --lr.",
        )
    return not last.diverged


def _shown(passes: Iterable[EpochRecord], run: Run, console: Console) -> Iterator[EpochRecord]:
    if run.task.line_by_line or not (console.is_interactive and console.file.isatty()):
        return in_lines(passes, console)
    return in_a_bar(passes, console, run.title, run.epochs)
