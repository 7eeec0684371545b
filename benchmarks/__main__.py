"""``make bench``: the time of one optimizer step, against torch's default, foreach and fused implementations.

Prints a table and writes benchmarks/results/step.json. Tiny models run on one thread, as they would in practice.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import zerograd
from benchmarks.timing import Timing, in_turns

RESULTS = Path(__file__).parent / "results"
SECONDS = 3.0

MODELS: dict[str, list[tuple[int, ...]]] = {
    "seed program, 4 tensors, 61 numbers": [(5, 10), (5,), (1, 5), (1,)],
    "150 tensors of 64": [(8, 8)] * 150,
    "MLP, 6 tensors, 200 thousand": [(256, 64), (256,), (512, 256), (512,), (100, 512), (100,)],
    "24 tensors of 250 thousand": [(500, 500)] * 24,
}
OPTIMIZERS: dict[str, dict[str, Any]] = {"SGD": {"lr": 1e-2, "momentum": 0.9}, "AdamW": {"lr": 1e-3}}


def step_of(optimizer: type[Any], shapes: list[tuple[int, ...]], **hypers: Any) -> Callable[[], object]:
    """The step of an optimizer over parameters of these shapes, which have gradients."""
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
    for p in params:
        p.grad = torch.randn(p.shape, generator=generator)
    return optimizer(params, **hypers).step


def measured(name: str, shapes: list[tuple[int, ...]], hypers: dict[str, Any]) -> dict[str, Timing]:
    reference = getattr(torch.optim, name)
    return in_turns(
        {
            "torch default": step_of(reference, shapes, **hypers),
            "torch foreach": step_of(reference, shapes, foreach=True, **hypers),
            "torch fused": step_of(reference, shapes, fused=True, **hypers),
            "zerograd": step_of(getattr(zerograd, name), shapes, **hypers),
        },
        seconds=SECONDS,
    )


def main() -> None:
    table = Table(title="microseconds a step, median (p10); in brackets torch's median over zerograd's")
    for heading in ("model", "optimizer", "torch default", "torch foreach", "torch fused", "zerograd"):
        table.add_column(heading, justify="left" if heading in ("model", "optimizer") else "right")
    rows = []
    for model, shapes in MODELS.items():
        torch.set_num_threads(1 if sum(torch.Size(s).numel() for s in shapes) < 1_000_000 else 2)
        for name, hypers in OPTIMIZERS.items():
            timings = measured(name, shapes, hypers)
            ours = timings["zerograd"].median
            cells = [f"{t.median:,.0f} ({t.p10:,.0f})" for t in timings.values()]
            ratios = [f" [{t.median / ours:.2f}]" for t in list(timings.values())[:-1]] + [""]
            table.add_row(model, name, *(cell + ratio for cell, ratio in zip(cells, ratios, strict=True)))
            rows.append({"model": model, "optimizer": name, **{k: asdict(t) for k, t in timings.items()}})
    machine = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    RESULTS.mkdir(exist_ok=True)
    target = RESULTS / "step.json"
    temporary = target.with_suffix(".tmp")
    temporary.write_text(json.dumps({"machine": machine, "unit": "microseconds", "rows": rows}, indent=1) + "\n")
    temporary.replace(target)
    Console().print(table)


if __name__ == "__main__":
    main()
