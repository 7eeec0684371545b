"""The lesson about zero_grad: give it, show its numbers, keep its picture."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.table import Table

from zerograd.lifecycle.findings import Finding
from zerograd.lifecycle.guarding import guard
from zerograd.training.lesson import Accumulation, Descent, descend, steepest_weight
from zerograd.training.plots import lesson_curves
from zerograd.training.progress import say
from zerograd.training.random_state import own_randomness
from zerograd.training.session import prepare, threads
from zerograd.training.settings import Settings

EPOCHS = 200  # five would be too few to see where the wrong descent goes
STEPS_SHOWN = 6


def teach_zero_grad(settings: Settings, console: Console) -> None:
    """Descend twice from the same start, with zero_grad and without, and show what the gradient holds."""
    with threads(settings):
        _teach(settings, console)


def _teach(settings: Settings, console: Console) -> None:
    with own_randomness(settings.seed):
        run = prepare(settings, epochs=EPOCHS)
    with own_randomness(settings.seed):
        forgetful = prepare(settings, epochs=EPOCHS)  # the same start, once more
    folder = run.claim_folder()

    weight = steepest_weight(run)
    right, wrong = [], []
    found: list[Finding] = []
    with (
        guard(run.optimizer, run.model, action=found.append),
        guard(forgetful.optimizer, forgetful.model, action=found.append),
    ):
        for with_zero_grad, without in zip(
            descend(run, weight, forget_zero_grad=False),
            descend(forgetful, weight, forget_zero_grad=True),
            strict=True,
        ):
            folder.append_record(_numbers(with_zero_grad, without))
            right.append(with_zero_grad)
            wrong.append(without)

    picture = lesson_curves(_losses(right), _losses(wrong), f"{run.title}: what zero_grad is for")
    folder.write_curves(picture)
    folder.write_model(run.model)

    say(console, "Two descents from the same start: right with zero_grad, wrong without.")
    say(console, f"The gradient of one weight, {weight}, in the first steps:\n")
    console.print(gradient_table(_steps(right), _steps(wrong)))
    say(console, "\nbackward() adds: grad += fresh. zero_grad() lets every sum start at 0;")
    say(console, "without it, each step takes all the steps before it once more.\n")
    for finding in found:
        say(console, f"What zerograd.guard says:\n{_wrapped(finding)}\n")
    say(console, f"Loss after {run.epochs} epochs, right: {_losses(right)[-1]:.4g}, wrong: {_losses(wrong)[-1]:.4g}")
    say(console, f"Saved in {folder.path}, both losses in curves.png")


def gradient_table(right: Sequence[Accumulation], wrong: Sequence[Accumulation]) -> Table:
    """The first steps of both descents, side by side: what backward found, added and left."""
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    for title in ("\nstep", "right:\nfresh", "\n= grad", "wrong:\ngrad before", "\n+ fresh", "\n= grad"):
        table.add_column(title, justify="right")
    for step, (good, bad) in enumerate(zip(right[:STEPS_SHOWN], wrong[:STEPS_SHOWN], strict=True), start=1):
        numbers = (good.fresh, good.after, bad.before, bad.fresh, bad.after)
        table.add_row(str(step), *(f"{number:+.6f}" for number in numbers))
    return table


def _wrapped(finding: Finding) -> str:
    """The guard's sentence in short lines, with files by their last names."""
    sentence = str(finding)
    for site in finding.sites:
        sentence = sentence.replace(site.file, Path(site.file).name)
    return textwrap.fill(sentence, 78, initial_indent="  ", subsequent_indent="  ")


def _losses(descents: Sequence[Descent]) -> list[float]:
    return [descent.tally.loss for descent in descents]


def _steps(descents: Sequence[Descent]) -> list[Accumulation]:
    return list(chain.from_iterable(descent.accumulations for descent in descents))


def _numbers(right: Descent, wrong: Descent) -> dict[str, float]:
    return {
        "epoch": right.epoch,
        "train_loss": right.tally.loss,
        "train_loss_without_zero_grad": wrong.tally.loss,
        "grad_norm": right.tally.gradient_norm,
        "grad_norm_without_zero_grad": wrong.tally.gradient_norm,
    }
