"""The rows of a part as a table for the screen."""

from __future__ import annotations

from rich.table import Table

from zerograd.benchmarking.rows import COPY, DEFAULT, FUSED, MICROSECONDS, OURS, Part, Row
from zerograd.benchmarking.turns import Timing

UNITS = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))


def table_of(part: Part) -> Table:
    """A line for each row: every contestant's median and first decile, and torch's medians over zerograd's."""
    table = Table(title=f"{part.title}: median (first decile)", title_justify="left", box=None, pad_edge=False)
    table.add_column("")
    shown = [name for name in part.contestants() if name != COPY]
    for name in shown:
        table.add_column(name, justify="right")
    compared = [name for name in (DEFAULT, FUSED) if name in shown]
    for name in compared:
        table.add_column(f"{name} ÷ {OURS}", justify="right", style="bold")
    for row in part.rows:
        ratios = row.ratios()
        times = [_time(row, name, MICROSECONDS[part.unit]) for name in shown]
        table.add_row(
            row.workload, *times, *(f"{ratios[name].median:.2f}" if name in ratios else "" for name in compared)
        )
    return table


def sentences(part: Part) -> list[str]:
    """What is said below the table: the bandwidths, the parts of a start, and the notes."""
    said = []
    for row in part.rows:
        if row.gigabytes_per_second:
            speeds = ", ".join(f"{name} {speed:.1f}" for name, speed in row.gigabytes_per_second.items())
            said.append(f"GB/s of {row.workload}: {speeds}.")
        phases = row.details.get("median_of_each")
        if isinstance(phases, dict):
            split = ", ".join(f"{phase} {_in_units(Timing(s, s), 1e6)}" for phase, s in phases[OURS].items())
            said.append(f"{OURS}, {row.workload}: {split}.")
    return [*said, *part.notes]


def _time(row: Row, name: str, microseconds: float) -> str:
    if name not in row.timings:
        return ""
    star = "*" if name in row.standing_still else ""
    return star + _in_units(row.timings[name], microseconds, decile=True)


def _in_units(timing: Timing, microseconds: float, *, decile: bool = False) -> str:
    median, p10 = timing.median * microseconds, timing.p10 * microseconds
    size, unit = next((pair for pair in UNITS if median >= pair[0]), UNITS[-1])
    inside = f" ({_three_digits(p10 / size)})" if decile else ""
    return f"{_three_digits(median / size)}{inside} {unit}"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
