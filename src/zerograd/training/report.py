"""How a run of `zerograd train` ended: in words, or as one object for JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from zerograd.errors import RunError
from zerograd.training.folder import RunFolder
from zerograd.training.loop import NonFiniteError
from zerograd.training.progress import Screen, error_console, say
from zerograd.training.running import Interrupted, Result
from zerograd.training.session import Run, run_task
from zerograd.training.settings import Settings


@dataclass
class Outcome:
    """What is known of a run, however it ended."""

    run: Run | None = None
    folder: RunFolder | None = None
    result: Result | None = None
    stopped: str = "failed"
    error: str | None = None

    @property
    def known(self) -> bool:
        """Whether a run was begun at all."""
        return self.run is not None

    def as_object(self) -> dict[str, Any]:
        """For `--json`; what is not a finite number is null."""
        assert self.run is not None
        assert self.folder is not None
        best, lines = self.run.job.best, self.folder.lines
        return {
            "task": self.run.task.name,
            "optimizer": type(self.run.optimizer).__name__,
            "seed": self.run.settings.seed,
            "run": str(self.folder.path),
            "stopped": self.result.stopped if self.result is not None else self.stopped,
            "epochs": len(lines),
            "steps": self.result.steps if self.result is not None else None,
            "metric": best.metric,
            "best_epoch": best.epoch,
            "best_value": _finite(best.value),
            "last": {name: _finite(value) for name, value in lines[-1].items()} if lines else None,
            "findings": [finding.as_object() for finding in self.result.findings] if self.result is not None else [],
            **({"error": self.error} if self.error else {}),
        }


class Noting(Screen):
    """A screen that also notes what is known."""

    def __init__(self, outcome: Outcome, console: Console, *, quiet: bool, guarded: bool) -> None:
        super().__init__(console, quiet=quiet, guarded=guarded)
        self._outcome = outcome

    def begin(self, run: Run, folder: RunFolder) -> None:
        self._outcome.run, self._outcome.folder = run, folder
        super().begin(run, folder)


def train_and_keep(
    settings: Settings,
    console: Console,
    *,
    resume: Path | None = None,
    quiet: bool = False,
    guarded: bool = True,
    outcome: Outcome | None = None,
) -> bool:
    """Train as ``settings`` say, show it, and keep it in a run folder. False if the loss stopped being a number."""
    outcome = outcome or Outcome()
    try:
        run, result = run_task(settings, Noting(outcome, console, quiet=quiet, guarded=guarded), resume=resume)
    except NonFiniteError as error:
        outcome.error = str(error)
        say(error_console(), f"zerograd: {error}")
        return False
    except RunError as error:
        outcome.error = str(error)
        raise
    except Interrupted as stop:
        outcome.stopped, outcome.error = "interrupted", str(stop)
        raise
    outcome.result = result
    if not quiet:
        for sentence in told(run, result):
            say(console, sentence)
    return True


def told(run: Run, result: Result) -> list[str]:
    """What is said at the end."""
    sentences = []
    best, last = run.job.best, result.last
    if result.stopped == "patience":
        sentences.append(f"Stopped early: {best.waited} epochs without a better {best.metric}")
    if "test_accuracy" in last:
        count = len(run.held_out["test"])
        sentences.append(f"Test accuracy {last['test_accuracy']:.2%} on {count} samples that it never learnt from")
    if best.value is not None and best.epoch != last["epoch"]:
        sentences.append(f"Best {best.metric} {best.value:.4g} in epoch {best.epoch}: checkpoints/best.pt")
    return [*sentences, f"Saved in {result.folder}"]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
