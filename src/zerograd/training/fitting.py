"""``zerograd.training.fit``: the same run as `zerograd train`, for a model and an optimizer of your own, or a task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from zerograd.errors import RunError, UsageError, did_you_mean
from zerograd.lifecycle.ownership import owned
from zerograd.training.batches import Batches, LoaderBatches, Source
from zerograd.training.compiling import compiled
from zerograd.training.folder import MADE_BY_FIT, RunFolder
from zerograd.training.job import Job
from zerograd.training.patience import Best
from zerograd.training.record import Line
from zerograd.training.running import Keeping, Result, carry_out
from zerograd.training.samples import Samples
from zerograd.training.schedules import scheduler as schedule_named
from zerograd.training.settings import Settings
from zerograd.training.task import Loss, Task
from zerograd.training.tasks import task_named

EACH = ("step", "epoch")
Samplelike = Any
"""(inputs, targets); or a ``Data`` (``len`` and ``batch(numbers)``); or a loader of (inputs, targets)."""


@contextmanager
def _options_as_arguments() -> Iterator[None]:
    """Errors of what ``fit`` shares with the command name arguments, not options: batch_size for --batch-size."""
    try:
        yield
    except (UsageError, RunError) as error:
        error.args = tuple(
            re.sub(r"--([a-z][a-z-]*)", lambda option: option[1].replace("-", "_"), told) for told in error.args
        )
        raise


@_options_as_arguments()
def fit(
    model: nn.Module,
    optimizer: Optimizer,
    loss: Loss | None = None,
    train: Samplelike | Task | str | None = None,
    *,
    valid: Samplelike | None = None,
    test: Samplelike | None = None,
    epochs: int = 1,
    batch_size: int | Literal["all"] = 32,
    seed: int = 0,
    schedule: str | LRScheduler | ReduceLROnPlateau | None = None,
    schedule_each: Literal["step", "epoch"] = "step",
    warmup: int = 0,
    clip: float | None = None,
    accumulate: int = 1,
    amp: Literal["bf16", "fp16"] | None = None,
    compile: bool = False,  # noqa: A002 - as the command's option
    guard: bool = True,
    metrics: Mapping[str, Loss] | None = None,
    count: Callable[[Tensor], int] = len,
    metric: str | None = None,
    patience: int | None = None,
    nonfinite: Literal["raise", "skip", "propagate"] = "raise",
    out: str | Path | None = None,
    keep: int = 0,
    save_every: int | None = None,
    resume: bool = False,
    on_epoch: Callable[[Line], Any] = lambda _: None,
) -> Result:
    """Train a model; keep the run in a folder if there is one; go on with it where it was stopped, bit for bit.

    model: any module, of inputs to outputs. optimizer: any of PyTorch's over its parameters, not LBFGS.
    loss: (outputs, targets) -> 0-dim, the mean over ``count(targets)``; None: that of the task.
    train, valid, test: a pair of tensors (inputs, targets) with one row each; or an object with ``len`` and
    ``batch(int64 numbers) -> (inputs, targets)``; or a loader that gives such pairs. Of the first two the order is a
    function of (seed, epoch) alone; a loader's order is its own, and ``batch_size`` and ``seed`` are not for it.
    train may be a task too, or the name of one ("digits"): then test, loss, metrics and count are the task's.
    schedule: "constant", "cosine", "linear", "onecycle", "step", or a scheduler of torch's, called after each step or
    each epoch. warmup: steps of a linear rise before a schedule by name. clip: the largest norm of a gradient, by
    torch's clip_grad_norm_; zerograd's optimizers have a ``clip=`` of their own, and need none here. accumulate:
    batches in a step, whose gradients are exactly the whole window's. amp: autocast; "fp16" with a GradScaler.
    metrics: name -> (outputs, targets) -> mean; None: "accuracy" where targets are classes.
    metric: of the record, by which the best epoch is chosen, such as "valid_accuracy" or "test_score:max"; None: the
    loss of valid, else of test, else of train. patience: epochs without a better one, then it ends.
    nonfinite: what to do about a loss or a gradient that is not finite.
    out: a new folder for config.json, record.jsonl, checkpoints and model.safetensors. keep: older checkpoints that
    stay. save_every: steps between checkpoints, besides the end of every epoch (of short epochs one a second). resume:
    go on in ``out`` if there is a run, with the same arguments; else begin one. on_epoch: called with each line of the
    record.

    Raises UsageError for what can't work, before anything is changed; NonFiniteError (a RunError) for a loss that is
    not finite; RunError if the disk does not take a file; Interrupted (a KeyboardInterrupt) after Ctrl-C or SIGTERM,
    when all is saved.

    >>> import torch, zerograd
    >>> from zerograd.training import fit
    >>> model = torch.nn.Linear(3, 1)
    >>> inputs = torch.randn(64, 3)
    >>> optimizer = zerograd.AdamW(model.parameters(), lr=0.1)
    >>> result = fit(model, optimizer, torch.nn.MSELoss(), (inputs, inputs.sum(1, keepdim=True)), epochs=20)
    >>> result.last["train_loss"] < 0.1 < result.lines[0]["train_loss"]
    True
    """
    Settings(  # the values that it has in common with the command are checked in the same words
        epochs=epochs, batch_size=batch_size, seed=seed, warmup=warmup, clip=clip, accumulate=accumulate, amp=amp,
        patience=patience, nonfinite=nonfinite, keep=keep, save_every=save_every,
        schedule=schedule if isinstance(schedule, str) else None,
    )  # fmt: skip
    _check_parts(model, optimizer, loss, schedule_each)
    if resume and out is None:
        raise UsageError("resume=True goes on in a folder: name it with out=.")
    observe = None
    if isinstance(train, (Task, str)):
        task = task_named(train) if isinstance(train, str) else train
        train, tested = task.samples()
        loss, test = loss or task.loss, test if test is not None else tested
        metrics, count = metrics or task.metrics, task.count if count is len else count
        observe = task.observe
    if loss is None:
        raise UsageError("There is no loss: it is a function of (outputs, targets), such as nn.MSELoss().")
    source = _source("train", train, batch_size, seed)
    held_out = {
        name: _source(name, data, 256, None) for name, data in (("valid", valid), ("test", test)) if data is not None
    }
    if isinstance(schedule, str) or warmup:
        try:
            steps = epochs * -(-len(source) // accumulate)  # type: ignore[arg-type]
        except TypeError as error:
            raise UsageError(
                "A schedule by name has to know how many batches there are: the loader has no len."
            ) from error
        schedule = schedule_named(schedule if isinstance(schedule, str) else "constant", optimizer, steps, warmup)
    job = Job(
        model=model,
        optimizer=optimizer,
        loss=loss,
        source=source,
        best=_best(metric, patience, held_out, metrics),
        epochs=epochs,
        scheduler=schedule,
        scheduler_each="epoch" if isinstance(schedule, ReduceLROnPlateau) else schedule_each,
        held_out=held_out,
        metrics=metrics,
        count=count,
        observe=observe,
        every=accumulate,
        clip=clip,
        amp=amp,
        nonfinite=nonfinite,
    )
    if compile:
        job.forward = compiled(model)
    keeping = None
    if out is not None:
        config = {
            "made_by": MADE_BY_FIT,
            "model": type(model).__name__,
            "optimizer": type(optimizer).__name__,
            "epochs": epochs,
            "batch_size": batch_size if isinstance(source, Batches) else None,
            "seed": seed,
            "schedule": type(schedule).__name__ if schedule is not None else None,
            "warmup": warmup,
            "clip": clip,
            "accumulate": accumulate,
            "amp": amp,
            "compile": compile,
            "metric": job.best.metric,
            "patience": patience,
            "nonfinite": nonfinite,
            "parameters": sum(p.numel() for p in model.parameters()),
        }
        run, found = _folder(Path(out), config, resume=resume)
        keeping = Keeping(run, keep, save_every, resume=found)
    result = carry_out(job, keeping, guarded="warn" if guard else None, on_line=on_epoch)
    if keeping is not None:
        keeping.run.write_model(model)
    return result


def _check_parts(model: object, optimizer: object, loss: object, schedule_each: str) -> None:
    """Refuse what can't be a model, its optimizer and its loss."""
    if not isinstance(model, nn.Module):
        raise UsageError(f"model is {type(model).__name__}; it must be a torch.nn.Module.")
    if not isinstance(optimizer, Optimizer):
        raise UsageError(f"optimizer is {type(optimizer).__name__}; it must be an optimizer of the model's parameters.")
    if isinstance(optimizer, LBFGS):
        raise UsageError("optimizer is LBFGS, which wants the loss anew many times in a step. Choose another one.")
    own = {id(p) for p in model.parameters()}
    if own.isdisjoint(map(id, owned(optimizer))):
        raise UsageError(
            "optimizer has none of the model's parameters, so nothing would be learnt. "
            f"Make it after the model: {type(optimizer).__name__}(model.parameters())"
        )
    if loss is not None and not callable(loss):
        raise UsageError(f"loss is {loss!r}; it must be a function of (outputs, targets), such as nn.MSELoss().")
    if schedule_each not in EACH:
        raise UsageError(f"schedule_each knows no {schedule_each!r}. {did_you_mean(schedule_each, EACH)}")


def _best(
    metric: str | None, patience: int | None, held_out: Mapping[str, Any], metrics: Mapping[str, Loss] | None
) -> Best:
    """What makes an epoch the best, if the record will have such a number."""
    best = Best.by(metric, patience, held_out)
    numbers = ("loss", *(metrics if metrics is not None else ("accuracy",)))
    names = [f"{part}_{number}" for part in ("train", *held_out) for number in numbers]
    if best.metric not in names:
        raise UsageError(f"metric knows no {best.metric!r}. {did_you_mean(best.metric, names)}")
    return best


def _source(name: str, data: Samplelike, size: int | Literal["all"], seed: int | None) -> Source:
    """Batches of what the user has."""
    if isinstance(data, (tuple, list)) and len(data) == 2 and all(isinstance(part, Tensor) for part in data):
        inputs, targets = data
        if len(inputs) != len(targets):
            raise UsageError(f"{name}: {len(inputs)} inputs and {len(targets)} targets; each input needs its target.")
        data = Samples(inputs, targets)
    if hasattr(data, "batch") and hasattr(data, "__len__"):
        if not len(data):
            raise UsageError(f"{name}: there are no samples in it.")
        return Batches(data, len(data) if size == "all" else min(size, len(data)), seed)
    if isinstance(data, Iterable):
        if iter(data) is data:
            raise UsageError(f"{name}: a generator can be read only once. Give a list, or a DataLoader.")
        if isinstance(data, Sized) and not len(data):
            raise UsageError(f"{name}: there are no batches in it.")
        return LoaderBatches(data)
    raise UsageError(f"{name} is {type(data).__name__}; it must be (inputs, targets), a DataLoader, or have batch().")


def _folder(path: Path, config: Mapping[str, Any], *, resume: bool) -> tuple[RunFolder, bool]:
    """The run's folder, and whether there is a run in it to go on with."""
    if not (resume and (path / "config.json").is_file()):
        return RunFolder.claim(path, "", config), False
    run = RunFolder.of(path)
    for name, value in config.items():
        if run.config.get(name) != value:
            raise UsageError(
                f"{path} was begun with {name}={run.config.get(name)!r}, and now it is {value!r}. "
                "Resume it as it was, or begin anew in another folder."
            )
    return run, True
