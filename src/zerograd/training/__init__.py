"""Training runs, to read and to copy: `loop.py` is the loop; the rest prepares it, watches it and keeps what it gave.

task.py, tasks/      what is trained: the model, the samples, the loss and the settings that suit them
planes.py, tables.py functions of two numbers, and tables of numbers, as tasks; extras.py: the packages that they need
building.py          a task's own parts, made and looked at
settings.py          what the user asked for, checked
optimizers.py        an optimizer's class by its name, its hyper-parameters, a rehearsal
samples.py           inputs with their targets; batches.py: in an order that can be taken up again
schedules.py         torch's schedulers by name; compiling.py: the model through torch.compile
loop.py, tally.py    zero_grad, forward, loss, backward, step
job.py               all that the loop needs, how far it is, and both as a checkpoint
running.py           a job from its first step to its last: guard, early stopping, checkpoints, Ctrl-C
patience.py          the best epoch so far; interrupts.py: Ctrl-C and other signals
random_state.py      random numbers of torch, NumPy and Python: where they stand
record.py            what an epoch gave: one line of record.jsonl
folder.py, checkpoints.py, plots.py  the run's folder, what is in it, and its picture
progress.py          the run on the screen; outlet.py: when nobody reads it any more
report.py            how it ended; comparison.py: several runs in one picture
session.py           a whole run of a task, from the settings to the last file
fitting.py           ``fit``: the same for a model of your own
lesson.py            the same descent with and without zero_grad; lesson_report.py: how it is told
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "Interrupted": "running",
    "NonFiniteError": "loop",
    "Result": "running",
    "Samples": "samples",
    "Settings": "settings",
    "Task": "task",
    "fit": "fitting",
    "read_checkpoint": "checkpoints",
    "run_task": "session",
}

__all__ = [
    "Interrupted",
    "NonFiniteError",
    "Result",
    "Samples",
    "Settings",
    "Task",
    "fit",
    "read_checkpoint",
    "run_task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
