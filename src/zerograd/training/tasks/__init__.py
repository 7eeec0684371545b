"""The tasks of `zerograd train`. A new file here, with a ``TASK`` in it, is a new task."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

from zerograd.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from zerograd.training.task import Task

NAMES = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def check_task_name(name: str) -> str:
    """Give ``name`` back if there is such a task."""
    if name not in NAMES:
        raise UsageError(f"There is no task {name!r}. {did_you_mean(name, NAMES)}")
    return name


def task_named(name: str) -> Task:
    """The task called ``name``. Only now its file is imported, and torch with it."""
    task: Task = import_module(f"{__name__}.{check_task_name(name)}").TASK
    return task
