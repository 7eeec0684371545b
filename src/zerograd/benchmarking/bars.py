"""The ratios of a part as a picture: bars that start at 1 and go right where zerograd is faster, left where it is not.

The figure is of its own: matplotlib's global state, and with it the user's backend, is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from zerograd.benchmarking.rows import DEFAULT, FUSED, OURS, Part, Row

COLORS = {DEFAULT: "#0072b2", FUSED: "#d55e00"}  # two colours that everybody can tell apart
HEIGHT = 0.38

COARSE = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
FINE = [0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.5, 1.75, 2, 2.5, 3, 4]
"""Where the axis of the ratios has its marks: everywhere the same, so pictures can be compared."""


def ratio_bars(part: Part, machine: Mapping[str, object]) -> Figure:
    """Torch's median over zerograd's, default and fused, for every row."""
    rows = [row for row in part.rows if row.ratios()]  # of a part of a step torch has no counterpart
    figure = Figure(figsize=(9.0, 1.9 + 0.52 * len(rows)), dpi=144, layout="constrained")
    figure.suptitle(f"{part.title}: torch's time ÷ {OURS}'s", fontsize=12)
    axes = figure.subplots()
    for place, row in enumerate(rows):
        _bars(axes, place, row)
    axes.axvline(1.0, color="black", linewidth=1.2)
    _finish(axes, rows)
    told = f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}, {OURS} {machine[OURS]}"
    stars = [note for note in part.notes if note.startswith("*")]
    axes.set_xlabel("\n".join([f"right of 1: {OURS} is faster", told, *stars]), fontsize=8)
    return figure


def _bars(axes: Axes, place: int, row: Row) -> None:
    ratios = row.ratios()
    for offset, name in zip((-HEIGHT / 2, HEIGHT / 2), COLORS, strict=True):
        if name not in ratios:
            continue
        ratio = ratios[name].median
        bar = {"color": COLORS[name], "label": name if place == 0 else None}
        axes.barh(place + offset, ratio - 1.0, left=1.0, height=HEIGHT, **bar)  # type: ignore[arg-type]
        text = f"{ratio:.2f}" + ("*" if name in row.standing_still else "")
        side = 1 if ratio >= 1.0 else -1
        axes.annotate(
            text,
            (ratio, place + offset),
            xytext=(3 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=8,
        )


def _finish(axes: Axes, rows: Sequence[Row]) -> None:
    values = [ratio.median for row in rows for name, ratio in row.ratios().items() if name in COLORS]
    low, high = min([*values, 1.0]), max([*values, 1.0])
    axes.set_xscale("log")
    axes.set_xlim(low / 1.25 if low < 0.97 else 0.9, high * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(FINE if high / low < 4 else COARSE))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(rows)), [row.workload for row in rows], fontsize=9)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:  # a part without torch.optim has nothing to tell apart
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, frameon=False, fontsize=9)
