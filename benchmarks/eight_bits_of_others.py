"""AdamW with 8-bit states: zerograd's, and those of other libraries that are installed. The time of a step, in turns.

    pip install --no-deps bitsandbytes torchao pytorch-optimizer
    python benchmarks/eight_bits_of_others.py [--rounds 30] [--model gpt2|square|rows] [--without WORD ...]

torchao compiles for a minute or more before its first step; without a C++ compiler it can't. In a round each optimizer
steps once, on tensors of its own, so each finds caches that others have filled. The first decile and the median of the
rounds are shown, with torch.optim.AdamW(fused=True)'s over them.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

import zerograd
from zerograd.benchmarking.facts import machine_facts
from zerograd.benchmarking.model_shapes import GPT2, Model
from zerograd.benchmarking.turns import Timing

MODELS = {
    "gpt2": GPT2,
    "square": Model("7168 x 7168", ((7168, 7168),)),
    "rows": Model("5000 x 10000", ((5000, 10_000),)),
}


def of(module: str, name: str, **hypers: Any) -> Callable[[list[Any]], Any]:
    """An optimizer of a library that may not be there: ImportError then."""
    return lambda params: getattr(importlib.import_module(module), name)(params, lr=1e-4, **hypers)


ENTRANTS: dict[str, tuple[str, Callable[[list[Any]], Any]]] = {
    "torch AdamW(fused=True)": ("torch", lambda params: torch.optim.AdamW(params, lr=1e-4, fused=True)),
    "zerograd AdamW": ("zerograd", lambda params: zerograd.AdamW(params, lr=1e-4)),
    'zerograd AdamW(state_format="int8")': (
        "zerograd", lambda params: zerograd.AdamW(params, lr=1e-4, state_format="int8")),
    "pytorch-optimizer FlashAdamW": ("pytorch-optimizer", of("pytorch_optimizer", "FlashAdamW")),
    "bitsandbytes AdamW8bit": ("bitsandbytes", of("bitsandbytes.optim", "AdamW8bit")),
    "torchao AdamW8bit": ("torchao", of("torchao.optim", "AdamW8bit")),
}  # fmt: skip
"""Name -> the package whose version is told, and what makes the optimizer."""


def parameters(model: Model) -> list[torch.nn.Parameter]:
    torch.manual_seed(0)
    params = [torch.nn.Parameter(0.02 * torch.randn(shape)) for shape in model.shapes]
    for p in params:
        p.grad = 1e-3 * torch.randn_like(p)
    return params


def state_bytes(optimizer: torch.optim.Optimizer, model: Model) -> float:
    """Bytes of all tensors in the state for each number of the model; of tensors made of others, of those."""
    found = 0
    for held in optimizer.state.values():
        waiting = list(held.values())
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += value.values()
            elif hasattr(value, "__tensor_flatten__"):
                waiting += [getattr(value, name) for name in value.__tensor_flatten__()[0]]
            elif isinstance(value, torch.Tensor):
                found += value.numel() * value.element_size()
            elif hasattr(value, "__dict__"):
                waiting += vars(value).values()
    return found / model.numbers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--model", choices=MODELS, default="gpt2")
    parser.add_argument("--without", nargs="*", default=[], help="leave out optimizers whose name has such a word")
    given = parser.parse_args()
    model, console = MODELS[given.model], Console(width=120)
    console.print(machine_facts())
    runs: dict[str, torch.optim.Optimizer] = {}
    for name, (_, make) in ENTRANTS.items():
        if any(word in name for word in given.without):
            continue
        try:
            optimizer = make(parameters(model))
            started = time.perf_counter()
            optimizer.step()
        except Exception as error:  # another library's: whatever it is, the others are still to be compared
            console.print(f"{name}: left out, {type(error).__name__}: {str(error)[:100]}", markup=False)
            continue
        if (first := time.perf_counter() - started) > 5:
            console.print(f"{name}: the first step took {first:.0f} s")
        optimizer.step()
        runs[name] = optimizer
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.rounds):
        for name, optimizer in runs.items():
            started = time.perf_counter()
            optimizer.step()
            times[name].append(1e3 * (time.perf_counter() - started))
    table = Table("optimizer", "version", "ms, first decile", "median", "torch / it", "medians", "bytes of state",
                  title=f"{model.name}, {given.rounds} rounds")  # fmt: skip
    timings = {name: Timing.of(values) for name, values in times.items()}
    torchs = next(iter(timings.values()))
    for name, timing in timings.items():
        table.add_row(
            name, importlib.metadata.version(ENTRANTS[name][0]), f"{timing.p10:.1f}", f"{timing.median:.1f}",
            f"{torchs.p10 / timing.p10:.2f}", f"{torchs.median / timing.median:.2f}",
            f"{state_bytes(runs[name], model):.2f}",
        )  # fmt: skip
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
