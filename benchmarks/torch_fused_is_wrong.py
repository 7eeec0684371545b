"""Where torch's own fused optimizers for CPUs go wrong: a table of what happens here, with this torch.

    python benchmarks/torch_fused_is_wrong.py

Every case makes a few steps in float64, and the same steps with torch's fused=True, with torch's foreach=False and with
zerograd. What is shown is the largest distance from the float64 parameters. Two things are known to go wrong:

- SGD in bfloat16 and float16 computes all whole vectors of a tensor and stores none of them; only what is left over at
  the end of the tensor moves (https://github.com/pytorch/pytorch/issues/191763).
- All fused optimizers walk through the memory of p, g and the state side by side, as if their strides were the same and
  without gaps. Where they are not, numbers meet the gradients of others, or numbers of other tensors are overwritten.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import zerograd

STEPS = 3
LAST = torch.channels_last
SGD: tuple[str, dict[str, Any]] = ("SGD", {"lr": 0.5})
MOMENTUM: tuple[str, dict[str, Any]] = ("SGD", {"lr": 0.1, "momentum": 0.9})
ADAMW: tuple[str, dict[str, Any]] = ("AdamW", {"lr": 0.1})

IMPLEMENTATIONS: dict[str, tuple[Any, dict[str, Any]]] = {
    "torch fused": (torch.optim, {"fused": True}),
    "torch foreach=False": (torch.optim, {"foreach": False}),
    "zerograd": (zerograd, {}),
}


@dataclass(frozen=True)
class Case:
    """A parameter, its gradient, and an optimizer. Nobody steps on ``p`` itself: a copy has the same strides."""

    name: str
    p: Tensor
    g: Tensor
    optimizer: tuple[str, dict[str, Any]]
    relaid: bool = False
    """After the first step the parameter goes to channels_last, as by ``model.to(memory_format=...)``."""


@dataclass(frozen=True)
class Result:
    """What an implementation made of a case."""

    error: float
    unmoved: int
    """Numbers that are where they started, and should not be."""
    overwritten: int
    """Numbers in the parameter's memory that are not the parameter's."""


def low_precision() -> Iterator[Case]:
    """SGD in 16 bits, over tensors of several sizes, and two that are right for comparison."""
    for dtype in (torch.bfloat16, torch.float16):
        short = str(dtype).removeprefix("torch.")
        for numbers in (7, 16, 31, 32, 1000, 100_000):
            p, g = torch.ones(numbers, dtype=dtype), torch.ones(numbers, dtype=dtype)
            yield Case(f"{numbers} numbers, {short}", p, g, SGD)
        yield Case(f"1000 numbers, {short}", torch.ones(1000, dtype=dtype), torch.ones(1000, dtype=dtype), MOMENTUM)
        yield Case(f"1000 numbers, {short}", torch.ones(1000, dtype=dtype), torch.ones(1000, dtype=dtype), ADAMW)


def layouts() -> Iterator[Case]:
    """Parameters and gradients whose memory is laid out differently. The first is an ordinary one."""
    drawn = torch.randn
    for optimizer in (MOMENTUM, ADAMW):
        yield Case("p and g contiguous", drawn(6, 4), drawn(6, 4), optimizer)
        yield Case("p and g transposed", drawn(4, 6).t(), drawn(4, 6).t(), optimizer)
        yield Case("p transposed, g contiguous", drawn(4, 6).t(), drawn(6, 4), optimizer)
        yield Case("p contiguous, g transposed", drawn(6, 4), drawn(4, 6).t(), optimizer)
        images, others = drawn(4, 3, 5, 5), drawn(4, 3, 5, 5)
        yield Case("p contiguous, g channels_last", images, others.to(memory_format=LAST), optimizer)
        yield Case("p channels_last, g contiguous", images.to(memory_format=LAST), others, optimizer)
        yield Case("p to channels_last after a step", images, others, optimizer, relaid=True)
        yield Case("p contiguous, g a slice of columns", drawn(6, 4), drawn(6, 8)[:, :4], optimizer)
        yield Case("p contiguous, g expanded", drawn(6, 4), drawn(24)[:4].expand(6, 4), optimizer)
        yield Case("p a slice of columns, g too", drawn(6, 8)[:, :4], drawn(6, 8)[:, :4], optimizer)
        yield Case("p every second number", drawn(32)[::2], drawn(16), optimizer)


def expected(case: Case) -> Tensor:
    """The parameter after the steps in float64, where the layout can't matter."""
    name, hypers = case.optimizer
    p = case.p.double().contiguous().requires_grad_()
    optimizer = getattr(torch.optim, name)([p], foreach=False, **hypers)
    for _ in range(STEPS):
        p.grad = case.g.double().contiguous()
        optimizer.step()
    return p.detach()


def result_of(case: Case, home: Any, options: dict[str, Any]) -> Result:
    """The same steps by one implementation."""
    name, hypers = case.optimizer
    before = torch.empty(0, dtype=case.p.dtype).set_(case.p.untyped_storage())
    memory = before.clone()
    place = case.p.shape, case.p.stride(), case.p.storage_offset()
    p = memory.as_strided(*place).requires_grad_()
    optimizer = getattr(home, name)([p], **options, **hypers)
    for step in range(STEPS):
        if step == 1 and case.relaid:
            p.data = p.data.to(memory_format=LAST)
        p.grad = case.g.to(memory_format=LAST) if step and case.relaid else case.g
        optimizer.step()
    inside = torch.zeros(memory.shape, dtype=torch.bool)
    inside.as_strided(*place)[...] = True
    goal = expected(case)
    return Result(
        error=(p.detach().double() - goal).abs().max().item(),
        unmoved=int(((p.detach() == case.p) & (goal.to(p.dtype) != case.p)).sum()),
        overwritten=int((memory != before)[~inside].sum()),
    )


def is_wrong(result: Result, case: Case) -> bool:
    """Whether this is more than a few roundings."""
    rounding = torch.finfo(case.p.dtype).eps * max(1.0, expected(case).abs().max().item())
    return result.overwritten > 0 or not result.error <= 4 * STEPS * rounding or not math.isfinite(result.error)


def table_of(title: str, cases: Iterator[Case]) -> Table:
    """A line for each case; red is wrong."""
    table = Table(title=f"{title}: largest error after {STEPS} steps", title_justify="left", box=None, pad_edge=False)
    for heading in ("case", "optimizer"):
        table.add_column(heading)
    for heading in IMPLEMENTATIONS:
        table.add_column(heading, justify="right")
    table.add_column("what torch fused did")
    for case in cases:
        results = {label: result_of(case, home, options) for label, (home, options) in IMPLEMENTATIONS.items()}
        name, hypers = case.optimizer
        settings = ", ".join(f"{key}={value}" for key, value in hypers.items())
        cells = [f"[red]{r.error:.1e} wrong[/red]" if is_wrong(r, case) else f"{r.error:.1e}" for r in results.values()]
        table.add_row(case.name, f"{name} {settings}", *cells, _in_words(results["torch fused"], case))
    return table


def _in_words(result: Result, case: Case) -> str:
    if result.overwritten:
        return f"overwrote {result.overwritten} numbers of others"
    if result.unmoved:
        return f"{result.unmoved} of {case.p.numel()} never moved"
    return "mixed up numbers" if is_wrong(result, case) else ""


def main() -> None:
    torch.manual_seed(0)
    console = Console()
    versions = f"torch {torch.__version__}, zerograd {zerograd.__version__}, Python {platform.python_version()}"
    console.print(f"{versions}, {torch.backends.cpu.get_cpu_capability()}", highlight=False)
    console.print()
    console.print(table_of("16 bits", low_precision()))
    console.print()
    console.print(table_of("layouts", layouts()))


if __name__ == "__main__":
    main()
