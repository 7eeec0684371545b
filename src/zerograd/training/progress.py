"""A run on the screen: a bar that moves on a terminal, one plain line an epoch anywhere else, or nothing at all."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Protocol, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from zerograd.lifecycle.findings import Finding
from zerograd.training.folder import RunFolder
from zerograd.training.outlet import Outlet
from zerograd.training.record import Line
from zerograd.training.session import Run, Watcher

PARTS = {"train": "", "valid": "valid ", "test": "test "}


class View(Protocol):
    """What shows the lines of a run."""

    def show(self, line: Line) -> None: ...
    def stopping(self) -> None: ...
    def close(self) -> None: ...


class PlainLines:
    """One line an epoch."""

    def __init__(self, console: Console, unit: str = "samples") -> None:
        self._console = console
        self._unit = unit

    def show(self, line: Line) -> None:
        say(self._console, one_line(line, self._unit))

    def stopping(self) -> None:
        """Called by a signal's handler, where Python's own streams may be in the middle of something."""
        with suppress(OSError):  # the terminal may be gone
            os.write(2, b"\nStopping after this step. Ctrl-C once more leaves at once.\n")

    def close(self) -> None:
        pass


class Bar:
    """A bar over the epochs, and the latest numbers under it."""

    def __init__(self, console: Console, title: str, epochs: int, done: int = 0, unit: str = "samples") -> None:
        self._unit = unit
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn())
        more = (TextColumn("epochs"), TimeRemainingColumn())
        self._bar = Progress(*columns, *more, console=console, expand=True)
        self._task = self._bar.add_task(title, total=epochs, completed=done)
        self._live = Live(self._bar, console=console)
        self._live.start()

    def show(self, line: Line) -> None:
        self._bar.update(self._task, completed=line["epoch"])
        self._live.update(Group(self._bar, _numbers(line, self._unit, self._live.console.width)))

    def stopping(self) -> None:
        self._bar.update(self._task, description="stopping")  # the bar's own thread shows it

    def close(self) -> None:
        self._live.stop()


class Screen(Watcher):
    """Shows a run on a console, and what the guard finds on the standard error."""

    def __init__(self, console: Console, *, quiet: bool = False, guarded: bool = True) -> None:
        super().__init__(guarded=self._found if guarded else None, on_signal=self._stopping)
        self._console = console
        self._quiet = quiet
        self._view: View | None = None

    def begin(self, run: Run, folder: RunFolder) -> None:
        if run.note and not self._quiet:
            say(self._console, run.note)
        done = len(folder.lines)
        if done and not self._quiet:
            say(self._console, f"Going on after epoch {done} of {run.epochs}")
        if self._quiet:
            return
        if run.task.line_by_line or not (self._console.is_interactive and self._console.file.isatty()):
            self._view = PlainLines(self._console, run.task.unit)
        else:
            self._view = Bar(self._console, run.title, run.epochs, done, run.task.unit)

    def line(self, line: Line) -> None:
        if self._view is not None:
            self._view.show(line)

    def end(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None

    def _stopping(self) -> None:
        if self._view is not None:
            self._view.stopping()

    def _found(self, finding: Finding) -> None:
        sentence = str(finding)
        for site in finding.sites:
            sentence = sentence.replace(site.file, Path(site.file).name)
        say(error_console(), f"zerograd: {sentence}")


def output_console() -> Console:
    """A console on the standard output. When that can't be written any more, the standard error says so, once."""
    return Console(file=cast(TextIO, Outlet(sys.stdout, told=sys.stderr)))


def error_console() -> Console:
    """A console on the standard error."""
    return Console(file=cast(TextIO, Outlet(sys.stderr)))


def say(console: Console, text: str) -> None:
    """Write ``text`` as it is, without markup. On a terminal lines end between words; anything else gets one line."""
    if console.is_terminal:
        lines = (textwrap.wrap(line, console.width, break_long_words=False) or [""] for line in text.split("\n"))
        text = "\n".join(chain.from_iterable(lines))
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def one_line(line: Mapping[str, float], unit: str = "samples") -> str:
    """`Epoch 1, Loss: 1.2345`, and whatever else the task has."""
    numbers = _shown(line, unit)
    loss = numbers.pop("loss")
    rate = numbers.pop(f"{unit}/s")
    told = ", ".join(f"{name} {number}" for name, number in numbers.items())
    return f"Epoch {line['epoch']:.0f}, Loss: {loss}, {told}, {rate} {unit}/s"


def _shown(line: Mapping[str, float], unit: str) -> dict[str, str]:
    """name -> number, in the words of the screen. A held-out loss only where there is no other metric."""
    shown = {"loss": f"{line['train_loss']:.4f}"}
    for part, word in PARTS.items():
        metrics = {name.removeprefix(f"{part}_"): line[name] for name in line if name.startswith(f"{part}_")}
        loss = metrics.pop("loss", None)
        if part != "train" and loss is not None and not metrics:
            shown[f"{word}loss"] = f"{loss:.4f}"
        for name, value in metrics.items():
            shown[word + name] = f"{value:.1%}" if name == "accuracy" else f"{value:.4g}"
    shown["lr"] = f"{line['lr']:.3g}"
    shown["gradient norm"] = f"{line['grad_norm']:.3g}"
    shown[f"{unit}/s"] = f"{line['samples_per_second']:,.0f}"
    return shown


def _numbers(line: Line, unit: str, width: int) -> Table:
    """The latest numbers side by side; on a narrow screen the first of them, as many as there is room for."""
    table = Table(box=None, expand=True, header_style="dim", pad_edge=False)
    row: list[str] = []
    used = 0
    for name, number in _shown(line, unit).items():
        used += max(len(name), 8) + 2
        if row and used > width:
            break
        table.add_column(name, justify="right", min_width=8, no_wrap=True)  # steady from epoch to epoch
        row.append(number)
    table.add_row(*row)
    return table
