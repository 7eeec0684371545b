"""A run on the screen: a bar that moves on a terminal, one plain line an epoch anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from zerograd.training.record import EpochRecord


def in_lines(records: Iterable[EpochRecord], console: Console) -> Iterator[EpochRecord]:
    """Pass the records on and write a line for each."""
    for record in records:
        say(console, one_line(record))
        yield record


def in_a_bar(records: Iterable[EpochRecord], console: Console, title: str, epochs: int) -> Iterator[EpochRecord]:
    """Pass the records on and show the latest under a bar."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("epochs"),
        TimeRemainingColumn(),
        console=console,
        expand=True,
    )
    task = bar.add_task(title, total=epochs)
    with Live(bar, console=console) as live:
        for record in records:
            bar.update(task, completed=record.epoch)
            live.update(Group(bar, _numbers(record)))
            yield record


def say(console: Console, text: str) -> None:
    """Write ``text`` as it is: no markup in it, and no line broken."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def one_line(record: EpochRecord) -> str:
    """`Epoch 1, Loss: 1.2345`, and whatever else the task has."""
    parts = [f"Epoch {record.epoch}, Loss: {record.train_loss:.4f}"]
    if record.train_accuracy is not None:
        parts.append(f"accuracy {record.train_accuracy:.1%}")
    if record.test_accuracy is not None:
        parts.append(f"test accuracy {record.test_accuracy:.1%}")
    parts.append(
        f"lr {record.lr:.3g}, gradient norm {record.grad_norm:.3g}, {record.samples_per_second:,.0f} samples/s"
    )
    return ", ".join(parts)


def _numbers(record: EpochRecord) -> Table:
    numbers = {"loss": f"{record.train_loss:.4f}"}
    if record.train_accuracy is not None:
        numbers["accuracy"] = f"{record.train_accuracy:.1%}"
    if record.test_accuracy is not None:
        numbers["test accuracy"] = f"{record.test_accuracy:.1%}"
    numbers["lr"] = f"{record.lr:.3g}"
    numbers["gradient norm"] = f"{record.grad_norm:.3g}"
    numbers["samples/s"] = f"{record.samples_per_second:,.0f}"
    table = Table(box=None, expand=True, header_style="dim", pad_edge=False)
    for name in numbers:
        table.add_column(name, justify="right", min_width=8, no_wrap=True)  # steady from epoch to epoch
    table.add_row(*numbers.values())
    return table
