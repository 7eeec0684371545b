"""A job from its first step to its last: watched, kept in a folder, stopped when it is enough, and taken up again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from zerograd.errors import RunError, UsageError
from zerograd.lifecycle.findings import Finding
from zerograd.lifecycle.guarding import Action, guard
from zerograd.training.checkpoints import Checkpoints
from zerograd.training.folder import RunFolder
from zerograd.training.interrupts import Interrupts, Stopped
from zerograd.training.job import Job, Progress, checkpoint, go_on_from
from zerograd.training.loop import NonFiniteError, switch_to, train
from zerograd.training.record import Line


class Interrupted(Stopped):
    """Ctrl-C or SIGTERM came, the run is saved, and the message tells how to go on."""


@dataclass(frozen=True)
class Result:
    """What a run gave. The model is in evaluation mode, with the weights of the last epoch."""

    model: nn.Module
    lines: list[Line]
    """One line an epoch, as in record.jsonl."""
    steps: int
    metric: str
    """The number of the record by which the best epoch was chosen."""
    best_epoch: int
    """0 if no epoch had a number to compare."""
    best_value: float | None
    stopped: Literal["finished", "patience"]
    findings: list[Finding]
    """What the guard has found."""
    folder: Path | None

    @property
    def last(self) -> Line:
        """The last epoch's line."""
        return self.lines[-1]


@dataclass(frozen=True)
class Keeping:
    """Where a run is kept, and how. keep: older checkpoints; save_every: steps, besides the end of every epoch."""

    run: RunFolder
    keep: int = 0
    save_every: int | None = None
    resume: bool = False
    more_bytes: int = 0
    """What the optimizer's state will add to a checkpoint, as far as it is known."""


def carry_out(
    job: Job,
    keeping: Keeping | None,
    *,
    guarded: Action | None = "warn",
    on_line: Callable[[Line], Any] = lambda _: None,
    on_signal: Callable[[], None] | None = None,
) -> Result:
    """Train to the end, or go on to it from the last checkpoint.

    Raises NonFiniteError if the loss is not finite any more (the record has the epoch, the model the weights of the
    step before), RunError if the disk does not take a file, Interrupted after Ctrl-C or SIGTERM, with all saved.
    """
    findings: list[Finding] = []
    with ExitStack() as stack:
        if keeping is not None:
            stack.enter_context(keeping.run.alone())
        progress, lines, save = _begin(job, keeping, stack)
        if not progress.finished:
            asked = stack.enter_context(Interrupts(on_signal)) if keeping is not None else None
            if guarded is not None:
                handle = stack.enter_context(guard(job.optimizer, job.model, action=guarded))
                findings = handle.findings
            for line in _recorded(train(job, progress), keeping, on_line):
                if line is None:
                    if asked is not None and asked.asked:
                        save()
                        raise _interrupted(keeping, progress, asked.asked)
                    if keeping is not None and keeping.save_every and progress.step % keeping.save_every == 0:
                        save()
                    continue
                improved = job.best.see(line, progress.step)
                lines.append(line)
                progress.finished = progress.epoch > job.epochs or job.best.enough
                if keeping is not None:
                    keeping.run.append_record(line)
                save(best=improved, at_once=progress.finished)
                on_line(line)
                _check_held_out(job, line)
                if progress.finished:
                    break
                if asked is not None and asked.asked:
                    save()
                    raise _interrupted(keeping, progress, asked.asked)
        switch_to("eval", job.model, job.optimizer)
    return Result(
        model=job.model,
        lines=lines,
        steps=progress.step,
        metric=job.best.metric,
        best_epoch=job.best.epoch,
        best_value=job.best.value,
        stopped="patience" if job.best.enough and progress.epoch <= job.epochs else "finished",
        findings=findings,
        folder=keeping.run.path if keeping is not None else None,
    )


def _recorded(
    moments: Iterator[Line | None], keeping: Keeping | None, on_line: Callable[[Line], Any]
) -> Iterator[Line | None]:
    """Have the record show the epoch in which the loss was not finite any more."""
    try:
        yield from moments
    except NonFiniteError as error:
        if keeping is not None:
            keeping.run.append_record(error.line)
            keeping.run.flush_record()
        on_line(error.line)
        raise


def _begin(job: Job, keeping: Keeping | None, stack: ExitStack) -> tuple[Progress, list[Line], Callable[..., None]]:
    """Where to start, the record so far, and a function that writes a checkpoint; what waits is written at the end."""
    progress = Progress(tally=job.new_tally())
    if keeping is None:
        return progress, [], lambda **_: None
    checkpoints = Checkpoints(keeping.run, keeping.keep)
    lines: list[Line] = []
    state = checkpoints.read_last() if keeping.resume else None
    if state is not None:
        progress = go_on_from(state, job)
    if keeping.resume:
        lines = keeping.run.cut(progress.epoch - 1)
    if state is None:
        try:
            checkpoints.begin(checkpoint(job, progress), keeping.more_bytes)
        except UsageError:
            if not keeping.resume:
                keeping.run.release()
            raise
    stack.push(checkpoints.close)
    return progress, lines, lambda **how: checkpoints.write(checkpoint(job, progress), progress.step, **how)


def _interrupted(keeping: Keeping | None, progress: Progress, signal: int) -> Interrupted:
    go_on = keeping.run.go_on if keeping is not None else ""
    return Interrupted(
        f"Stopped after step {progress.step}, in epoch {progress.epoch}; all is saved. Go on with: {go_on}",
        signal,
    )


def _check_held_out(job: Job, line: Line) -> None:
    if job.nonfinite != "raise":
        return
    for name in job.held_out:
        if not math.isfinite(line[f"{name}_loss"]):
            raise RunError(
                f"Stopped after epoch {line['epoch']:.0f}: the {name} loss is not finite any more "
                f"({line[f'{name}_loss']}). Try a smaller --lr; --nonfinite propagate goes on all the same."
            )
