"""How a run of `zerograd train` ended: in words, or as one JSON object."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from zerograd.errors import RunError
from zerograd.training.loop import NotFinite
from zerograd.training.progress import Screen, say
from zerograd.training.running import Result
from zerograd.training.session import Run, run_task
from zerograd.training.settings import Settings


def train_and_keep(
    settings: Settings,
    console: Console,
    *,
    resume: Path | None = None,
    quiet: bool = False,
    guarded: bool = True,
) -> bool:
    """Train as ``settings`` say, show it, and keep it in a run folder. False if the loss stopped being a number."""
    try:
        run, result = run_task(settings, Screen(console, quiet=quiet, guarded=guarded), resume=resume)
    except NotFinite as error:
        say(Console(stderr=True), f"zerograd: {error}")
        return False
    if not quiet:
        for sentence in told(run, result):
            say(console, sentence)
    return True


def told(run: Run, result: Result) -> list[str]:
    """What is said at the end."""
    sentences = []
    if result.stopped == "patience":
        sentences.append(
            f"Stopped early: no better {result.metric} than that of epoch {result.best_epoch} "
            f"for {run.job.best.waited} epochs"
        )
    last = result.last
    if "test_accuracy" in last:
        count = len(run.held_out["test"])
        sentences.append(f"Test accuracy {last['test_accuracy']:.2%} on {count} samples that it never learnt from")
    if result.best_value is not None and result.best_epoch != last["epoch"]:
        sentences.append(
            f"Best {result.metric} {result.best_value:.4g} in epoch {result.best_epoch}: checkpoints/best.pt"
        )
    sentences.append(f"Saved in {result.folder}")
    return sentences


def as_object(run: Run, result: Result) -> dict[str, Any]:
    """The result for `--json`; what is not a finite number is null."""
    return {
        "task": run.task.name,
        "optimizer": type(run.optimizer).__name__,
        "seed": run.settings.seed,
        "run": str(result.folder),
        "epochs": int(result.last["epoch"]),
        "steps": result.steps,
        "stopped": result.stopped,
        "metric": result.metric,
        "best_epoch": result.best_epoch,
        "best_value": _finite(result.best_value),
        "last": {name: _finite(value) for name, value in result.last.items()},
        "findings": [finding.as_object() for finding in result.findings],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def failure(error: RunError) -> dict[str, Any]:
    """The result of a run that could not go on."""
    return {"stopped": "failed", "error": str(error)}
