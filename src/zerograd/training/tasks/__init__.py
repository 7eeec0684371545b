"""The tasks of `zerograd train`. A new file here, with a ``TASK`` in it, is a new task.

A task of the user's own is named by where it is: ``package.module:name`` or ``path/to/file.py[:name]``.
"""

from __future__ import annotations

import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from zerograd.errors import UsageError, did_you_mean, nearest

if TYPE_CHECKING:
    from zerograd.training.task import Task

NAMES = tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")))
DEFAULTS = ("TASK", "task")
"""What is taken from a file if no name stands behind it."""


def check_task_name(name: str) -> str:
    """Give ``name`` back if there is such a task, as far as that is known without running anything."""
    module, _, _ = name.rpartition(":") if _is_own(name) else (name, "", "")
    file = module or name
    if _is_own(name):
        if file.endswith(".py") and not Path(file).is_file():
            near = nearest(file, map(str, Path(file).parent.glob("*.py")))
            hint = f" Did you mean {near!r}?" if near else ""
            raise UsageError(f"There is no file {file!r} to take a task from.{hint}")
        return name
    if name not in NAMES:
        raise UsageError(
            f"There is no task {name!r}. {did_you_mean(name, NAMES)} One of your own is module:name or file.py:name."
        )
    return name


def task_named(name: str) -> Task:
    """The task called ``name``. Only now its file is imported, and torch with it."""
    if _is_own(check_task_name(name)):
        return _own_task(name)
    task: Task = import_module(f"{__name__}.{name}").TASK
    return task


def lasting_name(name: str) -> str:
    """A name that is good from every folder: a file's with its whole path."""
    file, colon, wanted = name.rpartition(":")
    if name.endswith(".py"):
        return str(Path(name).resolve())
    return f"{Path(file).resolve()}{colon}{wanted}" if file.endswith(".py") else name


def _is_own(name: str) -> bool:
    return ":" in name or name.endswith(".py")


def _own_task(name: str) -> Task:
    from zerograd.training.building import told_of
    from zerograd.training.task import Task

    where, _, wanted = (name, "", "") if name.endswith(".py") else name.rpartition(":")
    with _current_folder():
        with told_of(f"The import of {where}"):
            module = _file(Path(where)) if where.endswith(".py") else _module(where)
        wanted = wanted or next((each for each in DEFAULTS if hasattr(module, each)), "")
        if not wanted:
            raise UsageError(f"{where} has neither TASK nor task. Name one: {where}:NAME")
        if not hasattr(module, wanted):
            names = [each for each, value in vars(module).items() if _may_be_meant(each, value, module)]
            raise UsageError(f"{where} has no {wanted!r}. {did_you_mean(wanted, names)}")
        found = getattr(module, wanted)
        with told_of(f"The task {name}"):
            task = _called(found, name) if callable(found) and not isinstance(found, Task) else found
    if not isinstance(task, Task):
        raise UsageError(
            f"{name} gives {type(task).__name__}; it must be a zerograd.training.Task, or a function that returns one."
        )
    return task


def _may_be_meant(name: str, value: object, module: ModuleType) -> bool:
    """A task, or a function that was not imported from elsewhere."""
    from zerograd.training.task import Task

    made_here = inspect.isfunction(value) and value.__module__ == module.__name__
    return not name.startswith("_") and (made_here or isinstance(value, Task))


def _called(function: Callable[[], object], name: str) -> object:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{name} can't be called without arguments; it must be a function that returns a Task."
        ) from error
    return function()


def _file(path: Path) -> ModuleType:
    module = sys.modules.get(path.stem)
    if module is not None and getattr(module, "__file__", None) == str(path.resolve()):
        return module
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} can't be read as Python.")
    module = importlib.util.module_from_spec(spec)
    if path.stem not in sys.modules:
        sys.modules[path.stem] = module  # so that its classes can be found by their names
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if sys.modules.get(path.stem) is module:
            del sys.modules[path.stem]
        raise
    return module


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(f"There is no module {name!r} in {Path.cwd()} or among the installed packages.") from error
        raise
    except (TypeError, ValueError) as error:  # "" or ".name"
        raise UsageError(f"{name!r} is no name of a module.") from error


@contextmanager
def _current_folder() -> Iterator[None]:
    """The current folder is looked into first, as by `python -m`; afterwards the path is as it was."""
    before = list(sys.path)
    sys.path.insert(0, str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before
