"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from zerograd.errors import RunError
from zerograd.lifecycle.accumulating import Window, accumulate
from zerograd.training.batches import Source
from zerograd.training.job import Job, Progress
from zerograd.training.record import Line
from zerograd.training.tally import Tally


class NonFiniteError(RunError):
    """The loss, or the gradient, is infinite or not a number. line: what the epoch gave until there."""

    line: Line


def train(job: Job, progress: Progress) -> Iterator[Line | None]:
    """Train, and give control away after every step (None) and after every epoch (its line of the record).

    Nothing is half done then: the caller may save, or stop for ever. Raises NonFiniteError before the step that would
    use a loss or a gradient that is not finite, so the weights are those of the step before.
    """
    model, optimizer, loss_fn = job.model, job.optimizer, job.loss
    clock = time.perf_counter()
    while progress.epoch <= job.epochs:
        if progress.batches == 0:
            progress.tally, progress.training_seconds, progress.epoch_randomness = job.new_tally(), 0.0, None
            progress.lr = float(optimizer.param_groups[0]["lr"])
        tally = progress.tally

        switch_to("train", model, optimizer)
        begin = time.perf_counter()
        for window in accumulate(job.remaining(progress), optimizer, job.every, model):
            optimizer.zero_grad()  # forget the last step's gradients: backward only ever adds
            used = 0
            for inputs, targets in window:
                with job.autocast():
                    outputs = job.forward(inputs)
                    loss = loss_fn(outputs, targets)
                value = loss.item()
                tally.add(value, outputs, targets)
                progress.batches += 1
                if not math.isfinite(value) and job.nonfinite != "propagate":
                    if job.nonfinite == "skip":
                        continue  # the window is the mean over the others
                    raise _not_finite("loss", value, job, progress)
                scaled = loss if job.scaler is None else job.scaler.scale(loss)
                window.backward(scaled, n=job.count(targets))  # p.grad += the gradient of the loss, for every p
                used += 1
            if used:
                norm = _prepare_gradients(job, window, progress)
                if job.scaler is None or math.isfinite(norm):  # else the scaler leaves this step out
                    tally.add_step(norm)
                if job.scaler is None:
                    optimizer.step()  # move every p by what p.grad says
                else:
                    job.scaler.step(optimizer)
                    job.scaler.update()
            if job.scheduler is not None and job.scheduler_each == "step":
                job.scheduler.step()  # the next step's learning rate
            progress.step += 1
            progress.training_seconds += time.perf_counter() - begin
            progress.seconds, clock = progress.seconds + time.perf_counter() - clock, time.perf_counter()
            yield None
            begin = time.perf_counter()

        switch_to("eval", model, optimizer)
        held_out = {name: evaluate(job, source).means() for name, source in job.held_out.items()}
        observed = _observed(job)
        switch_to("train", optimizer)
        progress.seconds, clock = progress.seconds + time.perf_counter() - clock, time.perf_counter()
        line = _line(progress, held_out) | observed
        if job.scheduler is not None and job.scheduler_each == "epoch":
            _step_after_epoch(job, line)
        progress.epoch, progress.batches = progress.epoch + 1, 0
        yield line
    switch_to("eval", model, optimizer)


@torch.no_grad()
def evaluate(job: Job, source: Source) -> Tally:
    """The loss and the metrics on samples from which the model learns nothing here."""
    tally = job.new_tally()
    for inputs, targets in source.epoch(1):
        with job.autocast():
            outputs = job.forward(inputs)
            loss = job.loss(outputs, targets)
        tally.add(loss.item(), outputs, targets)
    return tally


def gradient_norm(model: nn.Module) -> float:
    """The length of the whole gradient, all parameters taken as one vector. It changes nothing."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    dense = [g.coalesce().values() if g.is_sparse else g for g in gradients]
    norm = torch.nn.utils.get_total_norm(dense).item()
    if math.isinf(norm):  # the squares are beyond float32, perhaps not the numbers
        norm = torch.nn.utils.get_total_norm([g.double() for g in dense]).item()
    return norm


def switch_to(mode: Literal["train", "eval"], *parts: nn.Module | Optimizer) -> None:
    """Put every part that knows the two modes into one of them: models do, and optimizers that average weights."""
    for part in parts:
        getattr(part, mode, lambda: None)()


def _prepare_gradients(job: Job, window: Window, progress: Progress) -> float:
    """Unscale and clip, for what does not do it itself in its step. Gives the norm of the mean gradient before that."""
    if job.scaler is not None:
        job.scaler.unscale_(job.optimizer)
    norm = gradient_norm(job.model) / window.divisor
    if not math.isfinite(norm) and job.nonfinite == "raise" and job.scaler is None:
        raise _not_finite("gradient's norm", norm, job, progress)
    if job.clip is not None:
        window.divide()
        torch.nn.utils.clip_grad_norm_(job.model.parameters(), job.clip)
    return norm


@torch.no_grad()
def _observed(job: Job) -> Line:
    return {} if job.observe is None else {name: float(value) for name, value in job.observe(job.model).items()}


def _line(progress: Progress, held_out: dict[str, dict[str, float]]) -> Line:
    tally = progress.tally
    means = {"train": tally.means(), **held_out}
    return {
        "epoch": progress.epoch,
        **{f"{part}_{name}": value for part, numbers in means.items() for name, value in numbers.items()},
        "lr": progress.lr,
        "grad_norm": tally.gradient_norm,
        "samples_per_second": tally.samples / progress.training_seconds if progress.training_seconds else math.nan,
        "seconds": progress.seconds,
    }


def _step_after_epoch(job: Job, line: Line) -> None:
    if isinstance(job.scheduler, ReduceLROnPlateau):
        job.scheduler.step(line[job.best.metric])
    elif job.scheduler is not None:
        job.scheduler.step()


def _not_finite(what: str, value: float, job: Job, progress: Progress) -> NonFiniteError:
    lr = float(job.optimizer.param_groups[0]["lr"])
    error = NonFiniteError(
        f"Stopped at step {progress.step + 1}, in epoch {progress.epoch}: the {what} is not finite any more ({value}). "
        f"The weights are those of the step before. Try a smaller --lr than {lr:.3g}, or --clip 1; "
        "--nonfinite skip leaves such batches out."
    )
    error.line = _line(progress, {})
    return error
