"""What the optimizers reach on the tasks of `zerograd train`, each with the best of learning rates a factor of 3 apart.

    python -m benchmarks.choose_and_tune               # all that is missing; about half an hour for everything
    python -m benchmarks.choose_and_tune --seconds 280  # as much as fits; go on with the same command
    python -m benchmarks.choose_and_tune --table        # the table of docs/choose_and_tune.md

A cell is one training: (task, optimizer, learning rate, seed). Every optimizer tries five learning rates with seed 0,
and goes on by factors of three while the best is the largest or the smallest that was tried. The one with the lowest
held-out loss is trained with three more seeds, and those are what is reported. A cell is kept in
results/choose_and_tune.json as soon as it is there, and never computed twice.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from zerograd import optim
from zerograd.files import replacing
from zerograd.training.task import Task, constant, cosine
from zerograd.training.tasks import task_named

RESULTS = Path(__file__).parent / "results"
JSON, PICTURE = RESULTS / "choose_and_tune.json", RESULTS / "choose_and_tune.png"

FACTORS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""What an optimizer's usual learning rate is multiplied by: five tries each."""
ABOVE, BELOW = (30.0, 100.0, 300.0, 1000.0), (0.03, 0.01, 0.003, 0.001)
"""What comes next while the best is at an edge."""
TUNING_SEED, SEEDS = 0, (1, 2, 3)
EPOCHS = {"logistic": 30, "digits": 8, "chars": 1, "factors": 2}
"""The tasks, each cut to a few hundred steps."""

Make = Callable[[nn.Module, float], list[Optimizer]]


@dataclasses.dataclass(frozen=True)
class Entry:
    """An optimizer in this comparison; ``lr``: the middle of its five."""

    make: Make
    lr: float
    schedule: Callable[[float], float] = cosine
    tasks: tuple[str, ...] = ("logistic", "digits", "chars")


def one(kind: type[Optimizer], **options: Any) -> Make:
    return lambda model, lr: [kind(model.parameters(), lr=lr, **options)]


def muon_and_adamw(model: nn.Module, lr: float) -> list[Optimizer]:
    """Muon for the matrices of the blocks, AdamW with a tenth of its learning rate for all the rest."""
    named = dict(model.named_parameters())
    hidden = [name for name, p in named.items() if name.startswith("blocks") and p.dim() == 2]
    rest = [p for name, p in named.items() if name not in hidden]
    return [optim.Muon([named[name] for name in hidden], lr=lr), optim.AdamW(rest, lr=lr / 10)]


ENTRIES = {
    "SGD, momentum 0.9": Entry(one(optim.SGD, momentum=0.9), 0.1),
    "RMSprop": Entry(one(optim.RMSprop), 3e-3),
    "Adagrad": Entry(one(optim.Adagrad), 3e-2),
    "Adadelta": Entry(one(optim.Adadelta), 1.0),
    "Adam": Entry(one(optim.Adam), 3e-3),
    "AdamW": Entry(one(optim.AdamW), 3e-3),
    "Adamax": Entry(one(optim.Adamax), 6e-3),
    "NAdam": Entry(one(optim.NAdam), 3e-3),
    "RAdam": Entry(one(optim.RAdam), 3e-3),
    "ADOPT": Entry(one(optim.ADOPT), 3e-3),
    "StableAdamW": Entry(one(optim.StableAdamW), 3e-3),
    "Adafactor": Entry(one(optim.Adafactor), 3e-2),
    "LAMB": Entry(one(optim.LAMB), 1e-2),
    "Lion": Entry(one(optim.Lion), 5e-4),
    "Prodigy": Entry(one(optim.Prodigy), 1.0),
    "ScheduleFreeAdamW": Entry(one(optim.ScheduleFreeAdamW), 1e-2, schedule=constant),
    "Muon and AdamW": Entry(muon_and_adamw, 3e-2, tasks=("chars",)),
    "SGD": Entry(one(optim.SGD), 10.0, tasks=("factors",)),
    "Adagrad, sparse": Entry(one(optim.Adagrad), 0.1, tasks=("factors",)),
    "SparseAdam": Entry(one(optim.SparseAdam), 1e-2, tasks=("factors",)),
}

Cell = tuple[str, str, float, int]


def train(task: Task, entry: Entry, lr: float, seed: int, epochs: int) -> dict[str, float | None]:
    """One training; a loss that is not finite ends it, and is null."""
    torch.manual_seed(seed)
    model = task.model()
    data, held_out = task.samples()
    assert held_out is not None
    optimizers = entry.make(model, lr)
    size = int(task.batch_size)
    steps = epochs * math.ceil(len(data) / size)
    schedulers = [LambdaLR(optimizer, lambda step: entry.schedule(step / steps)) for optimizer in optimizers]
    order = torch.Generator().manual_seed(seed)
    begin = time.perf_counter()
    switch("train", model, *optimizers)
    for _ in range(epochs):
        for chosen in torch.randperm(len(data), generator=order).split(size):
            inputs, targets = data.batch(chosen)
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss = task.loss(model(inputs), targets)
            if not math.isfinite(loss.item()):
                return {"loss": None, "seconds": time.perf_counter() - begin}
            loss.backward()
            for optimizer, scheduler in zip(optimizers, schedulers, strict=True):
                optimizer.step()
                scheduler.step()
    seconds = time.perf_counter() - begin
    switch("eval", model, *optimizers)
    total, count = 0.0, 0
    with torch.no_grad():
        for chosen in torch.arange(len(held_out)).split(256):
            inputs, targets = held_out.batch(chosen)
            total += task.loss(model(inputs), targets).item() * task.count(targets)
            count += task.count(targets)
    return {"loss": total / count if math.isfinite(total) else None, "seconds": seconds}


def switch(mode: str, *parts: nn.Module | Optimizer) -> None:
    for part in parts:
        getattr(part, mode, lambda: None)()


class Table:
    """The cells so far, in the file."""

    def __init__(self) -> None:
        kept = json.loads(JSON.read_text()) if JSON.exists() else {}
        self.notes: dict[str, str] = kept.get("notes", {})
        self.cells: dict[Cell, dict[str, float | None]] = {
            (cell["task"], cell["optimizer"], cell["lr"], cell["seed"]): cell for cell in kept.get("cells", [])
        }

    def add(self, cell: Cell, numbers: dict[str, float | None]) -> None:
        names = ("task", "optimizer", "lr", "seed")
        self.cells[cell] = {**dict(zip(names, cell, strict=True)), **numbers}  # type: ignore[dict-item]
        whole = {
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "epochs": EPOCHS,
            "notes": self.notes,
            "cells": list(self.cells.values()),
        }
        with replacing(JSON) as file:
            file.write_text(json.dumps(whole, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def loss(self, cell: Cell) -> float:
        """Infinite for a training that went there."""
        loss = self.cells[cell]["loss"]
        return math.inf if loss is None else loss

    def rates(self, task: str, name: str) -> list[float]:
        """The learning rates to try, the lowest first: all that can be known before the cells among them are there."""
        factors, above, below = list(FACTORS), list(ABOVE), list(BELOW)
        while True:
            cells = [(task, name, ENTRIES[name].lr * factor, TUNING_SEED) for factor in factors]
            if all(cell in self.cells for cell in cells):
                losses = [self.loss(cell) for cell in cells]
                best = losses.index(min(losses))
                if best == len(losses) - 1 and above:
                    factors.append(above.pop(0))
                    continue
                if best == 0 and below:
                    factors.insert(0, below.pop(0))
                    continue
            return [lr for _, _, lr, _ in cells]

    def tries(self, task: str, name: str) -> list[tuple[float, float]]:
        """(lr, loss) of the learning rates that were tried."""
        return [(lr, self.loss((task, name, lr, TUNING_SEED))) for lr in self.rates(task, name)]

    def best(self, task: str, name: str) -> float:
        return min(self.tries(task, name), key=lambda pair: pair[1])[0]

    def at_edge(self, task: str, name: str) -> bool:
        """Whether the best learning rate is the lowest or the highest that was tried."""
        rates = self.rates(task, name)
        return self.best(task, name) in (rates[0], rates[-1])

    def reported(self, task: str, name: str) -> list[float]:
        """The losses with the best learning rate and the seeds that it was not chosen by."""
        lr = self.best(task, name)
        return [self.loss((task, name, lr, seed)) for seed in SEEDS]


def pairs() -> Iterator[tuple[str, str]]:
    for task in EPOCHS:
        for name, entry in ENTRIES.items():
            if task in entry.tasks:
                yield task, name


def missing(table: Table) -> Iterator[Cell]:
    """The cells to compute, the learning rates first: which of them the seeds take is known only then."""
    for task, name in pairs():
        while left := [lr for lr in table.rates(task, name) if (task, name, lr, TUNING_SEED) not in table.cells]:
            yield (task, name, left[0], TUNING_SEED)
        for seed in SEEDS:
            cell = (task, name, table.best(task, name), seed)
            if cell not in table.cells:
                yield cell


def rows(table: Table) -> str:
    """The table of the page: the median held-out loss, lowest and highest of the seeds, and the learning rate."""
    lines = []
    for task in EPOCHS:
        lines += [f"\n| {task} | lr | loss | lowest to highest |", "|---|---|---|---|"]
        names = [name for of, name in pairs() if of == task]
        for name in sorted(names, key=lambda name: statistics.median(table.reported(task, name))):
            losses, lr = table.reported(task, name), table.best(task, name)
            edge = " *" if table.at_edge(task, name) else ""
            low, middle, high = sorted(losses)
            lines.append(f"| {name} | {lr:.2g}{edge} | {middle:.4f} | {low:.4f} to {high:.4f} |")
    return "\n".join(lines).strip()


def draw(table: Table) -> None:
    """Above: the seeds' losses, best on top. Below: how much the loss depends on the learning rate."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.0, 10.0), dpi=110, layout="constrained")
    above, below = figure.subplots(2, len(EPOCHS))
    for task, dots, lines in zip(EPOCHS, above, below, strict=True):
        names = [name for of, name in pairs() if of == task]
        names.sort(key=lambda name: statistics.median(table.reported(task, name)), reverse=True)
        medians = [statistics.median(table.reported(task, name)) for name in names]
        apart = max(medians) > 3 * min(medians)  # then only a logarithmic axis shows all of them
        lowest = min(loss for name in names for _, loss in table.tries(task, name))
        for place, name in enumerate(names):
            losses = table.reported(task, name)
            dots.plot(losses, [place] * len(losses), "o", color="#0072b2", alpha=0.6)
            rates, found = zip(*table.tries(task, name), strict=True)
            marked = {"AdamW": "#d55e00", "SGD, momentum 0.9": "#0072b2", "Lion": "#009e73", "Prodigy": "#cc79a7"}
            marked |= {"SparseAdam": "#d55e00", "SGD": "#0072b2"}
            lines.plot(
                rates, found, color=marked.get(name, "#bbbbbb"), marker=".", label=name if name in marked else None
            )
        dots.set_yticks(range(len(names)), names, fontsize="small")
        dots.set(
            title=f"{task}, {EPOCHS[task]} epochs" if EPOCHS[task] > 1 else f"{task}, 1 epoch",
            xlabel="held-out loss, three seeds",
            xscale="log" if apart else "linear",
        )
        lines.set(xlabel="learning rate", ylabel="held-out loss", xscale="log", yscale="log" if apart else "linear")
        lines.set_ylim(0.95 * lowest, (20 if apart else 2) * lowest)
        lines.legend(frameon=False, fontsize="small")
        for axes in (dots, lines):
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    with replacing(PICTURE) as file:
        figure.savefig(file, format="png")


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many; what is there is kept")
    parser.add_argument("--table", action="store_true", help="only print the table of the page")
    options = parser.parse_args(arguments)
    table = Table()
    end = time.monotonic() + options.seconds
    torch.set_num_threads(1)
    while not options.table and (cell := next(missing(table), None)) is not None:
        task, name, lr, seed = cell
        if time.monotonic() > end:
            say("There is more to do: run it again.")
            return 1
        numbers = train(task_named(task), ENTRIES[name], lr, seed, EPOCHS[task])
        if (note := task_named(task).note) is not None:
            table.notes[task] = note()
        table.add(cell, numbers)
        say(f"{task}, {name}, lr {lr:.3g}, seed {seed}: {numbers['loss']}")
    say(rows(table))
    if not options.table:
        draw(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
