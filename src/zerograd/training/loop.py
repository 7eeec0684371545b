"""The training loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from zerograd.training.record import EpochRecord
from zerograd.training.samples import Batches, Samples
from zerograd.training.tally import Tally


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    loss_fn: nn.Module,
    batches: Batches,
    scheduler: LRScheduler,
    *,
    epochs: int,
    test: Samples | None = None,
) -> Iterator[EpochRecord]:
    """Train ``model`` and give a record after every epoch; a loss that is not finite ends it."""
    begin = time.perf_counter()
    for epoch in range(1, epochs + 1):
        epoch_begin = time.perf_counter()
        lr = float(optimizer.param_groups[0]["lr"])
        tally = Tally()

        switch_to("train", model, optimizer)
        for inputs, targets in batches:
            optimizer.zero_grad()  # forget the last step's gradients: backward only ever adds
            outputs = model(inputs)
            loss = loss_fn(outputs, targets)
            loss.backward()  # p.grad += the gradient of the loss, for every parameter p
            optimizer.step()  # move every p by what p.grad says
            scheduler.step()  # the next step's learning rate
            tally.add(loss, outputs, targets, gradient_norm(model))
        training_seconds = time.perf_counter() - epoch_begin

        switch_to("eval", model, optimizer)
        tested = evaluate(model, loss_fn, test) if test is not None else None
        record = EpochRecord(
            epoch=epoch,
            train_loss=tally.loss,
            train_accuracy=tally.accuracy,
            test_loss=tested.loss if tested else None,
            test_accuracy=tested.accuracy if tested else None,
            lr=lr,
            grad_norm=tally.gradient_norm,
            samples_per_second=tally.samples / training_seconds,
            seconds=time.perf_counter() - begin,
        )
        yield record
        if record.diverged:
            return


@torch.no_grad()
def evaluate(model: nn.Module, loss_fn: nn.Module, samples: Samples) -> Tally:
    """The loss and the accuracy on ``samples``, from which the model learns nothing here."""
    tally = Tally()
    outputs = model(samples.inputs)
    tally.add(loss_fn(outputs, samples.targets), outputs, samples.targets)
    return tally


def gradient_norm(model: nn.Module) -> float:
    """The length of the whole gradient, all parameters taken as one vector. It changes nothing."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return torch.nn.utils.get_total_norm(gradients).item()


def switch_to(mode: Literal["train", "eval"], *parts: nn.Module | Optimizer) -> None:
    """Put every part that knows the two modes into one of them: models do, and optimizers that average weights."""
    for part in parts:
        getattr(part, mode, lambda: None)()
