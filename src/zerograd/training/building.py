"""A task's own parts, made and looked at: what is wrong with them is said before anything starts, with the place."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

import zerograd
from zerograd.errors import RunError, UsageError
from zerograd.training.samples import Data, Samples
from zerograd.training.task import Task

OURS = (str(Path(zerograd.__file__).parent), str(Path(torch.__file__).parent))
"""Where no mistake of a task is looked for."""


@contextmanager
def told_of(subject: str) -> Iterator[None]:
    """An error in a user's own code becomes a UsageError that names ``subject`` and the line."""
    try:
        yield
    except (UsageError, RunError):
        raise
    except Exception as error:  # a user's code may raise anything
        raise UsageError(f"{subject} failed: {type(error).__name__}: {_one_line(error)}{_place(error)}.") from error


def _one_line(error: Exception) -> str:
    return (error.msg if isinstance(error, SyntaxError) else str(error)).split("\n")[0].rstrip(".")


def _place(error: Exception) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({Path(error.filename).name}, line {error.lineno})"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*OURS, "<frozen"))
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def built(task: Task) -> tuple[nn.Module, Data, Data | None, str | None]:
    """The model, the training samples, those that are held out, and the note: made in this order.

    Raises UsageError for parts that can't be trained.
    """
    name = f"the task {task.name!r}"
    if isinstance(task.model, nn.Module):
        raise UsageError(f"The model of {name} is made already; give a function that makes it: model=lambda: ...")
    if not callable(task.loss):
        raise UsageError(f"The loss of {name} is {task.loss!r}; it must be a function of (outputs, targets).")
    for field, value in (("epochs", task.epochs), ("batch_size", task.batch_size)):
        if value != "all" and (not isinstance(value, int) or value < 1):
            raise UsageError(f"{field} of {name} must be a whole number, 1 or more, not {value!r}.")
    with told_of(f"The model of {name}"):
        model = task.model()
    if not isinstance(model, nn.Module) or not any(p.requires_grad for p in model.parameters()):
        raise UsageError(
            f"The model of {name} is {type(model).__name__}; it must be a torch.nn.Module with parameters to train."
        )
    with told_of(f"The samples of {name}"):
        found = task.samples()
        if not isinstance(found, tuple) or len(found) != 2:
            raise TypeError(f"they are {type(found).__name__}, not a pair: Samples to train on, and Samples or None")
        for part in found:
            _check(part, required=part is found[0])
    with told_of(f"The note of {name}"):
        note = task.note() if task.note is not None else None
    return model, found[0], found[1], note


def _check(data: object, *, required: bool) -> None:
    if data is None and not required:
        return
    if not (hasattr(data, "batch") and hasattr(data, "__len__")):
        raise TypeError(f"{type(data).__name__} has no batch(); put the tensors into Samples(inputs, targets)")
    if not len(data):
        raise ValueError("there are none" if required else "there are none to test on; give None in their place")
    if isinstance(data, Samples) and len(data.inputs) != len(data.targets):
        raise ValueError(f"{len(data.inputs)} inputs and {len(data.targets)} targets; each input needs its target")
