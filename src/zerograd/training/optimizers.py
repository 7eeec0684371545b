"""An optimizer by its name: the class, its hyper-parameters, and a rehearsal before the run."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from zerograd import optim
from zerograd.errors import UsageError, did_you_mean
from zerograd.training.building import told_of
from zerograd.training.job import AMP
from zerograd.training.loop import switch_to
from zerograd.training.samples import Data
from zerograd.training.settings import Settings
from zerograd.training.tally import Tally
from zerograd.training.task import Task


def optimizer_class(name: str) -> type[Optimizer]:
    """The optimizer of zerograd called ``name``, in capital or small letters."""
    kinds: dict[str, type[Optimizer]] = {
        public: getattr(optim, public) for public in optim.__all__ if public != "Optimizer"
    }
    for public, kind in kinds.items():
        if public.casefold() == name.casefold():
            return kind
    raise UsageError(f"There is no optimizer {name!r}. {did_you_mean(name, sorted(kinds, key=str.casefold))}")


def chosen_hyperparameters(kind: type[Optimizer], task: Task, settings: Settings) -> dict[str, Any]:
    """What is handed to the constructor: the user's values, else the task's if ``kind`` is the task's optimizer."""
    accepted = inspect.signature(kind).parameters
    names = ("lr", "weight_decay", "clip", "state_format", "weight_format")
    given = {name: value for name in names if (value := getattr(settings, name)) is not None}
    for name in given:
        if name not in accepted:
            option = "--" + name.replace("_", "-")
            raise UsageError(f"{kind.__name__} takes no {name}. Leave {option} out, or choose another optimizer.")
    if task.sparse and "clip" in given:
        raise UsageError(f"The gradients of {task.name!r} are sparse and can't be clipped. Leave --clip out.")
    own = {"lr": task.lr, "weight_decay": task.weight_decay} if kind is optimizer_class(task.optimizer) else {}
    return {name: value for name, value in own.items() if value is not None} | given


def all_hyperparameters(optimizer: Optimizer) -> dict[str, Any]:
    """Everything that ``optimizer`` runs with, its own defaults too, in words that JSON has."""

    def in_json(value: object) -> object:
        if isinstance(value, (tuple, list)):
            return [in_json(item) for item in value]
        if value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return repr(value)

    return {name: in_json(value) for name, value in optimizer.defaults.items()}


@contextmanager
def _refused(kind: type[Optimizer]) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"{kind.__name__} can't train this model: {str(error).rstrip('.')}. "
            "Choose another --optimizer, or other numbers for it."
        ) from error


def rehearse(
    kind: type[Optimizer], hyperparameters: dict[str, Any], model: nn.Module, task: Task, data: Data, amp: str | None
) -> tuple[int, list[str]]:
    """Take one step with a copy of everything, so that an optimizer that can't train this model is refused at once.

    Some want a closure, sparse gradients or nothing but matrices. A kernel that has to be compiled is compiled here.
    Gives the bytes of the optimizer's state, and the names of the task's numbers: the loss and the metrics.
    """
    closure = inspect.signature(kind.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UsageError(
            f"{kind.__name__} can't be used here: its step needs a closure that computes the loss again, "
            "and this loop takes one step for one backward. Choose another --optimizer."
        )
    model = copy.deepcopy(model)
    name = f"the task {task.name!r}"
    with torch.random.fork_rng(devices=[]):
        with _refused(kind):
            optimizer = kind(model.parameters(), **hyperparameters)
        switch_to("train", model, optimizer)
        with told_of(f"The samples of {name}"):
            inputs, targets = data.batch(torch.arange(min(2, len(data))))
        with torch.autocast("cpu", dtype=AMP.get(amp or "bf16"), enabled=amp is not None):
            with told_of(f"The model of {name}"):
                outputs = model(inputs)
            with told_of(f"The loss of {name}"):
                loss = task.loss(outputs, targets)
                if not isinstance(loss, Tensor) or loss.numel() != 1:
                    raise TypeError("it must give one number, a tensor without dimensions")
                if not loss.requires_grad:
                    raise ValueError("it does not depend on the model's parameters; don't detach it")
        with _refused(kind):
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    tally = Tally(task.metrics, task.count)
    with told_of(f"The metrics of {name}"):
        tally.add(loss.item(), outputs, targets)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors), list(tally.means())
