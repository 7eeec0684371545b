"""A whole run of a task: from the settings to the last file."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from zerograd.errors import RunError, UsageError, did_you_mean
from zerograd.lifecycle.guarding import Action
from zerograd.training.batches import Batches, order
from zerograd.training.building import built, told_of
from zerograd.training.compiling import compiled
from zerograd.training.folder import RunFolder
from zerograd.training.job import Job
from zerograd.training.loop import NonFiniteError
from zerograd.training.optimizers import all_hyperparameters, chosen_hyperparameters, optimizer_class, rehearse
from zerograd.training.patience import Best
from zerograd.training.random_state import own_randomness
from zerograd.training.record import Line
from zerograd.training.running import Keeping, Result, carry_out
from zerograd.training.samples import Data
from zerograd.training.schedules import scheduler as schedule_named
from zerograd.training.settings import Settings
from zerograd.training.task import Task
from zerograd.training.tasks import lasting_name, task_named

EVALUATION = 256
"""Samples in a batch that nothing is learnt from."""


@dataclass(frozen=True)
class Part:
    """Some of the samples of a data set."""

    data: Data
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The samples whose numbers within this part ``chosen`` (int64) holds."""
        return self.data.batch(self.numbers[chosen])


@dataclass(frozen=True)
class Run:
    """A task with all that its loop needs, ready to start."""

    task: Task
    settings: Settings
    job: Job
    batches: Batches
    held_out: Mapping[str, Data]
    note: str | None
    more_bytes: int
    """What the optimizer's state will add to a checkpoint."""

    @property
    def model(self) -> nn.Module:
        return self.job.model

    @property
    def optimizer(self) -> Optimizer:
        return self.job.optimizer

    @property
    def epochs(self) -> int:
        return self.job.epochs

    @property
    def title(self) -> str:
        """What is trained, and with which optimizer."""
        return f"{self.task.name}, {type(self.optimizer).__name__}"

    def claim_folder(self) -> RunFolder:
        """A folder of this run's own, with config.json in it."""
        settings, task = self.settings, self.task
        name = re.sub(r"[^\w.-]+", "-", f"{task.name}-{type(self.optimizer).__name__.lower()}")
        config = {
            "task": task.name,
            "optimizer": type(self.optimizer).__name__,
            "hyperparameters": all_hyperparameters(self.optimizer),
            "schedule": settings.schedule or task.schedule.__name__,
            "epochs": self.epochs,
            "batch_size": self.batches.size,
            "seed": settings.seed,
            "forget_zero_grad": settings.forget_zero_grad,
            "metric": self.job.best.metric,
            "train_samples": len(self.batches.data),
            **{f"{name}_samples": len(self.held_out.get(name, ())) for name in ("valid", "test")},
            "parameters": sum(p.numel() for p in self.model.parameters()),
            **({"note": self.note} if self.note else {}),
            "threads": thread_count(settings, task),
            "settings": {**settings.as_object(), "task": lasting_name(settings.task)},
            "versions": {
                "zerograd": version("zerograd"),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        return RunFolder.claim(settings.out, name, config)


def prepare(settings: Settings, *, epochs: int | None = None) -> Run:
    """Check what is left to check, and build everything. ``epochs`` takes the place of the task's default.

    Call it under ``own_randomness``: the model and some samples are drawn. When it refuses, nothing has been written.
    """
    task = task_named(settings.task)
    kind = optimizer_class(settings.optimizer if settings.optimizer is not None else task.optimizer)
    hyperparameters = chosen_hyperparameters(kind, task, settings)
    model, train, test, note = built(task)

    held_out: dict[str, Data] = {}
    if settings.valid:
        train, held_out["valid"] = _split(train, settings)
    if test is not None:
        held_out["test"] = test
    size = settings.batch_size if settings.batch_size is not None else task.batch_size
    if size == "all" or (size > len(train) and settings.batch_size is None):
        size = len(train)
    if size > len(train):
        raise UsageError(
            f"--batch-size {size} is more than the {len(train)} training samples of {task.name!r}. "
            "Use 'all' for all of them."
        )
    more_bytes, numbers = rehearse(kind, hyperparameters, model, task, train, settings.amp)

    batches = Batches(train, size, settings.seed)
    optimizer = kind(model.parameters(), **hyperparameters)
    epochs = settings.epochs or epochs or task.epochs
    job = Job(
        model=model,
        optimizer=optimizer,
        loss=task.loss,
        source=batches,
        best=Best.by(settings.metric, settings.patience, held_out),
        epochs=epochs,
        scheduler=_scheduler(settings, task, optimizer, epochs * -(-len(batches) // settings.accumulate)),
        held_out={name: Batches(data, EVALUATION, None) for name, data in held_out.items()},
        metrics=task.metrics,
        count=task.count,
        observe=task.observe,
        every=settings.accumulate,
        amp=settings.amp,
        nonfinite=settings.nonfinite,
    )
    _check_metric(job, numbers)
    if settings.compile:
        job.forward = compiled(model)
    return Run(task, settings, job, batches, held_out, note, more_bytes)


def thread_count(settings: Settings, task: Task) -> int:
    """How many threads a run computes on: as many as were asked for, else the task's number."""
    return settings.threads or task.threads


@contextmanager
def threads(settings: Settings) -> Iterator[None]:
    """Let torch compute on a run's threads; afterwards on as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(thread_count(settings, task_named(settings.task)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def surroundings(settings: Settings) -> Iterator[None]:
    """The random numbers and the threads of a run."""
    with own_randomness(settings.seed), threads(settings):
        yield


@dataclass
class Watcher:
    """Who is told how a run goes; here nobody."""

    guarded: Action | None = "warn"
    on_signal: Callable[[], None] | None = None

    def begin(self, run: Run, folder: RunFolder) -> None:
        """All is prepared."""

    def line(self, line: Line) -> None:
        """An epoch is over."""

    def end(self) -> None:
        """The run is over, or broke off."""


def run_task(settings: Settings, watcher: Watcher | None = None, *, resume: Path | None = None) -> tuple[Run, Result]:
    """Train a task and keep it in a run folder, or go on with the run in the folder ``resume``.

    Raises what ``zerograd.training.fit`` raises. After a NonFiniteError the folder has its picture and model too.
    """
    watcher = watcher or Watcher()
    if resume is not None:
        folder = RunFolder.of(resume)
        if folder.made_by_fit:
            raise UsageError(f"{resume} was made in Python. To go on with it, {folder.go_on}.")
        settings = Settings.read(folder.config, resume)
        if settings.forget_zero_grad:
            raise UsageError(
                f"{resume} is a lesson, and that is given as a whole: zerograd train seed --forget-zero-grad"
            )
    with surroundings(settings):
        run = prepare(settings)
        if resume is None:
            folder = run.claim_folder()
        keeping = Keeping(folder, settings.keep, settings.save_every, resume is not None, run.more_bytes)
        watcher.begin(run, folder)
        try:
            result = carry_out(
                run.job, keeping, guarded=watcher.guarded, on_line=watcher.line, on_signal=watcher.on_signal
            )
        except NonFiniteError:
            finish(run, folder)
            raise
        finally:
            watcher.end()
        finish(run, folder)
    return run, result


def finish(run: Run, folder: RunFolder) -> None:
    """Keep the model, and the picture, drawn from the record."""
    from zerograd.training.plots import training_curves

    picture = run.task.picture or training_curves
    folder.write_model(run.model)
    try:
        with told_of(f"The picture of the task {run.task.name!r}"):
            folder.write_curves(picture(folder.lines, run.title))
    except UsageError as error:
        raise RunError(f"{error} The run is complete, and its model is saved.") from error


def _split(data: Data, settings: Settings) -> tuple[Data, Data]:
    """A part of the training samples is for validation; which ones, the seed decides."""
    count = round(len(data) * settings.valid)
    if not 0 < count < len(data):
        raise UsageError(f"--valid {settings.valid:g} of {len(data)} samples leaves one side with none.")
    numbers = order(len(data), settings.seed, 0)
    return Part(data, numbers[count:].sort().values), Part(data, numbers[:count].sort().values)


def _scheduler(settings: Settings, task: Task, optimizer: Optimizer, steps: int) -> LRScheduler:
    if settings.schedule is not None or settings.warmup:
        named = settings.schedule or task.schedule.__name__
        return schedule_named(named, optimizer, steps, settings.warmup)
    with told_of(f"The schedule of the task {task.name!r}"):
        return LambdaLR(optimizer, lambda step: task.schedule(step / steps))


def _check_metric(job: Job, numbers: Sequence[str]) -> None:
    names = [f"{part}_{number}" for part in ("train", *job.held_out) for number in numbers]
    if job.best.metric not in names:
        hint = " Keep some samples for it: --valid 0.1" if job.best.metric.startswith("valid_") else ""
        raise UsageError(f"--metric knows no {job.best.metric!r}. {did_you_mean(job.best.metric, names)}{hint}")
