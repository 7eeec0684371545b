"""The pictures of a run. They are drawn on figures of their own: matplotlib's global state is left alone."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zerograd.training.record import EpochRecord

BLUE, ORANGE = "#0072b2", "#d55e00"  # two colours that everybody can tell apart


def training_curves(records: Sequence[EpochRecord], title: str) -> Figure:
    """The loss over the epochs and, where there are classes, the accuracy beside it."""
    has_accuracy = records[0].train_accuracy is not None
    figure = _figure(title, width=9.0 if has_accuracy else 5.0)
    losses, *rest = figure.subplots(1, 2 if has_accuracy else 1, squeeze=False)[0]

    _line(losses, [record.train_loss for record in records], BLUE, "training")
    _line(losses, [record.test_loss for record in records], ORANGE, "test")
    _finish(losses, "loss", log=True)
    for accuracies in rest:
        _line(accuracies, [record.train_accuracy for record in records], BLUE, "training")
        _line(accuracies, [record.test_accuracy for record in records], ORANGE, "test")
        _finish(accuracies, "accuracy")
    return figure


def lesson_curves(right: Sequence[float], wrong: Sequence[float], title: str) -> Figure:
    """Two losses over the epochs: with zero_grad and without."""
    figure = _figure(title, width=7.0)
    axes = figure.subplots()
    _line(axes, right, BLUE, "right: zero_grad before every backward")
    _line(axes, wrong, ORANGE, "wrong: zero_grad forgotten")
    _finish(axes, "loss", log=True)
    return figure


def _figure(title: str, width: float) -> Figure:
    figure = Figure(figsize=(width, 3.8), dpi=144, layout="constrained")
    figure.suptitle(title)
    return figure


def _line(axes: Axes, values: Sequence[float | None], color: str, label: str) -> None:
    """One curve over the epochs; nothing, if the task doesn't have these values."""
    known = [value for value in values if value is not None]
    if known:
        axes.plot(range(1, len(known) + 1), known, color=color, label=label, marker="." if len(known) == 1 else None)


def _finish(axes: Axes, quantity: str, *, log: bool = False) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    if log:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
