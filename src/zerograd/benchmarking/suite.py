"""A whole run: each part is measured, shown and, if there is a folder, written before the next one starts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from zerograd.benchmarking.bars import ratio_bars
from zerograd.benchmarking.checks_part import measure_checks
from zerograd.benchmarking.facts import load_average, machine_facts
from zerograd.benchmarking.guard_part import measure_guard
from zerograd.benchmarking.lint_part import measure_lint
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import Part, Row
from zerograd.benchmarking.startup_part import measure_startup
from zerograd.benchmarking.step_part import measure_step
from zerograd.benchmarking.tables import sentences, table_of
from zerograd.benchmarking.training_part import measure_training
from zerograd.benchmarking.update_half_part import measure_update_half
from zerograd.benchmarking.window_part import measure_windows
from zerograd.errors import UsageError
from zerograd.files import replacing

MAKERS: dict[str, Callable[[Plan], tuple[Part, Iterator[Row]]]] = {
    "step": measure_step,
    "update_half": measure_update_half,
    "training": measure_training,
    "startup": measure_startup,
    "checks": measure_checks,
    "guard": measure_guard,
    "windows": measure_windows,
    "lint": measure_lint,
}


def run_parts(
    names: Sequence[str], plan: Plan, out: Path | None, console: Console, progress: Console
) -> dict[str, object]:
    """Measure the parts of these names. ``progress`` gets a line for every row, ``console`` the tables.

    Gives the parts by their names, as they are written to files.
    """
    made: dict[str, object] = {}
    if out is not None:
        claim(out)
    for name in names:
        part, machine = measured(name, plan, progress)
        made[name] = part.as_json(machine)
        console.print(table_of(part))
        for sentence in sentences(part):
            _say(console, sentence)
        _say(console, f"Load average before {machine['load_before']}, after {machine['load_after']}.")
        if out is not None:
            write(part, machine, out)
            _say(console, f"Saved in {out}: {name}.json and {name}.png")
        _say(console, "")
    return made


def measured(name: str, plan: Plan, progress: Console) -> tuple[Part, dict[str, object]]:
    """A part with its rows, and the machine that it was measured on."""
    machine = machine_facts() | {"load_before": load_average()}
    part, rows = MAKERS[name](plan)
    for row in rows:
        part.rows.append(row)
        _say(progress, f"measured: {part.name}, {row.workload}")
    return part, machine | {"load_after": load_average()}


def claim(out: Path) -> None:
    """Make the folder, before anything is measured."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"Can't write results to {out}: it is a file. Name a folder with --out.") from error
    except OSError as error:
        raise UsageError(f"Can't write results to {out}: {error.strerror}. Name another folder with --out.") from error


def write(part: Part, machine: dict[str, object], out: Path) -> None:
    """The part as JSON and as a picture; results of a run before are replaced, by whole files only."""
    with replacing(out / f"{part.name}.json") as file:
        text = json.dumps(part.as_json(machine), indent=1, ensure_ascii=False, allow_nan=False)
        file.write_text(text + "\n", encoding="utf-8")
    with replacing(out / f"{part.name}.png") as file:
        ratio_bars(part, machine).savefig(file, format="png")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
