"""The pictures of runs. They are drawn on figures of their own: matplotlib's global state is left alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from zerograd.errors import UsageError, did_you_mean

Lines = Sequence[Mapping[str, float]]

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # colours that everybody can tell apart (Okabe and Ito)
PARTS = {"train": ("training", BLUE), "valid": ("validation", GREEN), "test": ("test", ORANGE)}
MANY = [BLUE, ORANGE, GREEN, "#cc79a7", "#e69f00", "#56b4e9", "#000000"]
STYLES = ["-", "--", ":", "-."]
PANELS = 3


def training_curves(lines: Lines, title: str) -> Figure:
    """The loss over the epochs and, where there are metrics, each of them beside it."""
    names = [name.removeprefix("train_") for name in (lines[0] if lines else {"train_loss": 0.0})]
    quantities = [name for name in names if lines and f"train_{name}" in lines[0]][:PANELS] or ["loss"]
    figure = _figure(title, width=5.0 if len(quantities) == 1 else 4.5 * len(quantities))
    for axes, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        for part, (label, color) in PARTS.items():
            _line(axes, [line.get(f"{part}_{quantity}") for line in lines], label, color=color)
        _finish(axes, quantity, log=quantity == "loss")
    return figure


def lesson_curves(right: Sequence[float], wrong: Sequence[float], title: str) -> Figure:
    """Two losses over the epochs: with zero_grad and without."""
    figure = _figure(title, width=7.0)
    axes = figure.subplots()
    _line(axes, right, "right: zero_grad before every backward", color=BLUE)
    _line(axes, wrong, "wrong: zero_grad forgotten", color=ORANGE)
    _finish(axes, "loss", log=True)
    return figure


def overlaid(runs: Mapping[str, Lines], quantities: Sequence[str]) -> Figure:
    """The same numbers of several runs, one panel a number. Raises UsageError for a number that no run has."""
    names = list(dict.fromkeys(name for lines in runs.values() for line in lines for name in line if name != "epoch"))
    for quantity in quantities:
        if quantity not in names:
            raise UsageError(f"No run has the number {quantity!r}. {did_you_mean(quantity, names)}")
    figure = _figure(
        ", ".join(runs) if len(runs) <= 3 else f"{len(runs)} runs", width=5.0 + 4.0 * (len(quantities) - 1)
    )
    for axes, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        for number, (label, lines) in enumerate(runs.items()):
            style = STYLES[number // len(MANY) % len(STYLES)]
            _line(axes, [line.get(quantity) for line in lines], label, color=MANY[number % len(MANY)], style=style)
        _finish(axes, quantity.replace("_", " "), log=quantity.endswith("loss"))
    return figure


def _figure(title: str, width: float) -> Figure:
    figure = Figure(figsize=(width, 3.8), dpi=144, layout="constrained")
    figure.suptitle(title)
    return figure


def _line(axes: Axes, values: Sequence[float | None], label: str, *, color: str, style: str = "-") -> None:
    """One curve over the epochs; nothing, if the task doesn't have these values."""
    known = [math.nan if value is None else value for value in values]
    if not all(map(math.isnan, known)) or (known and values[0] is not None):
        marker = "." if len(known) == 1 else None
        axes.plot(range(1, len(known) + 1), known, style, color=color, label=label, marker=marker)


def _finish(axes: Axes, quantity: str, *, log: bool = False) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    if log and axes.dataLim.y1 > 0:  # else there is nothing that a logarithm could show
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.lines:
        axes.legend(frameon=False)
