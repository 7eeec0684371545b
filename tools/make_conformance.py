"""Write docs/conformance.md: how far every optimizer is from torch.optim's for-loop, measured by running both.

A row is a class with a flag, a column a layout or a dtype. `make conformance` writes the page anew; `--check` only
tells, with exit code 1, whether its rows, columns or verdicts are stale. Last digits hang on the processor.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zerograd

PAGE = Path(__file__).resolve().parent.parent / "docs" / "conformance.md"
STEPS = 6
LR = 0.125
"""Large enough to move weights of 16 bits, and the same number in every dtype."""

Hypers = dict[str, Any]

DECAY: Hypers = {"weight_decay": 0.1}
EVERYWHERE: list[Hypers] = [{}, {"maximize": True}, {"lr": torch.tensor(0.125)}]
ADAM: list[Hypers] = [DECAY, {"betas": (0.5, 0.6), "eps": 1e-3}]
COUPLED: Hypers = {"decoupled_weight_decay": True, **DECAY}
AMSGRAD: Hypers = {"amsgrad": True, **DECAY}
MOMENTUM: Hypers = {"momentum": 0.9}
CAPTURABLE: Hypers = {"capturable": True}

FLAGS: dict[str, list[Hypers]] = {
    "SGD": [DECAY, MOMENTUM, {**MOMENTUM, "dampening": 0.5}, {**MOMENTUM, "nesterov": True, **DECAY}],
    "Adam": [*ADAM, AMSGRAD, COUPLED, CAPTURABLE],
    "AdamW": [*ADAM, AMSGRAD, CAPTURABLE],
    "NAdam": [*ADAM, {"momentum_decay": 0.1}, COUPLED, CAPTURABLE],
    "RAdam": [*ADAM, COUPLED, CAPTURABLE],
    "Adamax": [*ADAM, CAPTURABLE],
    "RMSprop": [DECAY, {"alpha": 0.5}, MOMENTUM, {"centered": True}, {**MOMENTUM, "centered": True}, CAPTURABLE],
    "Adagrad": [DECAY, {"lr_decay": 0.1}, {"initial_accumulator_value": 0.5}],
    "Adadelta": [DECAY, {"rho": 0.5}, CAPTURABLE],
    "Rprop": [{"etas": (0.3, 1.9)}, {"step_sizes": (5e-3, 0.05)}, CAPTURABLE],
    "ASGD": [DECAY, {"lambd": 0.1, "t0": 0}, CAPTURABLE],
    "SparseAdam": [{"betas": (0.5, 0.6), "eps": 1e-3}],
    "Adafactor": [DECAY, {"beta2_decay": -0.3}, {"eps": (0.1, 0.5)}, {"d": 1.5}],
    "Muon": [
        DECAY,
        {"weight_decay": 0.0},
        {"momentum": 0.5, "nesterov": True},
        {"nesterov": False},
        {"ns_steps": 2},
        {"adjust_lr_fn": "match_rms_adamw"},
    ],
    "LBFGS": [{"line_search_fn": "strong_wolfe"}, {"history_size": 2}, {"max_iter": 3}],
}


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    wide = torch.complex128 if dtype.is_complex else torch.float64
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=wide).to(dtype)


def sparse(seed: int) -> Tensor:
    """Two rows of six, one of them twice."""
    return torch.sparse_coo_tensor(torch.tensor([[0, 4, 4]]), random(seed, 3, 5), (6, 5), check_invariants=True)


LAYOUTS: dict[str, Callable[[int], Tensor]] = {
    "contiguous": lambda seed: random(seed, 6, 5),
    "transposed": lambda seed: random(seed, 5, 6).t(),
    "channels last": lambda seed: random(seed, 2, 3, 4, 4).to(memory_format=torch.channels_last),
    "0-dim": random,
    "empty": lambda seed: random(seed, 0, 3),
    "float64": lambda seed: random(seed, 6, 5, dtype=torch.float64),
    "bfloat16": lambda seed: random(seed, 6, 5, dtype=torch.bfloat16),
    "float16": lambda seed: random(seed, 6, 5, dtype=torch.float16),
    "complex64": lambda seed: random(seed, 6, 5, dtype=torch.complex64),
    "sparse": sparse,
}
"""Column -> a tensor of this kind: the parameter's values and each gradient. All are float32 unless they say more."""


def run(module: Any, name: str, hypers: Hypers, make: Callable[[int], Tensor]) -> list[Tensor] | str:
    """The parameter after each step, or the name of the exception."""
    start = make(0)
    p = (start.to_dense() if start.is_sparse else start).clone().requires_grad_()
    options: Hypers = {"lr": LR, **loop(module, name), **hypers}
    found: list[Tensor] = []
    try:
        optimizer = getattr(module, name)([p], **options)
        for step in range(STEPS):
            target = make(step + 1)
            if name == "LBFGS":
                optimizer.step(lambda p=p, target=target: distance(p, target))
            else:
                p.grad = target
                optimizer.step()
            found.append(p.detach().clone())
    except Exception as error:
        return type(error).__name__
    return found


def distance(p: Tensor, target: Tensor) -> Tensor:
    """A loss for what evaluates one itself: least where the parameter is the target."""
    p.grad = None
    loss = (p - target).abs().square().sum()
    loss.backward()  # type: ignore[no-untyped-call]
    return loss


def loop(module: Any, name: str) -> Hypers:
    """What makes torch take its for-loop, where it has another way."""
    has_it = module is torch.optim and "foreach" in inspect.signature(getattr(module, name)).parameters
    return {"foreach": False} if has_it else {}


def verdict(name: str, hypers: Hypers, make: Callable[[int], Tensor]) -> str:
    """What a cell says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's, about sparse tensors that it does not check
        theirs, ours = (run(module, name, hypers, make) for module in (torch.optim, zerograd))
    if isinstance(ours, str):
        return f"refused, as torch: `{ours}`" if ours == theirs else f"refused: `{ours}`; torch: {said(theirs)}"
    if isinstance(theirs, str):
        return f"works; torch: `{theirs}`"
    wide = torch.complex128 if ours[0].is_complex() else torch.float64
    worst = max(
        ((a.to(wide) - b.to(wide)).abs().max().item() if a.numel() else 0.0) for a, b in zip(theirs, ours, strict=True)
    )
    return f"{worst:.0e}" if worst else "0"


def said(result: list[Tensor] | str) -> str:
    return f"`{result}`" if isinstance(result, str) else "works"


def title(hypers: Hypers) -> str:
    """A row's name: its flags as they are written."""
    words = [f"{key}=tensor" if isinstance(value, Tensor) else f"{key}={value}" for key, value in hypers.items()]
    return f"`{', '.join(words)}`" if words else "defaults"


def table(name: str) -> list[str]:
    rows = [[title(hypers), *(verdict(name, hypers, make) for make in LAYOUTS.values())] for hypers in rows_of(name)]
    head = ["", *LAYOUTS]
    return [f"| {' | '.join(cells).strip()} |" for cells in (head, ["---"] * len(head), *rows)]


def rows_of(name: str) -> list[Hypers]:
    """The flags of a class, each alone."""
    arguments = inspect.signature(getattr(zerograd, name)).parameters
    everywhere = [hypers for hypers in EVERYWHERE if "maximize" not in hypers or "maximize" in arguments]
    return [*everywhere, *FLAGS[name]]


def page() -> str:
    """All of the page, measured now."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        tables = [line for name in FLAGS for line in (f"## {name}", "", *table(name), "")]
    finally:
        torch.set_num_threads(threads)
    return "\n".join([INTRODUCTION.format(torch=torch.__version__.partition("+")[0], steps=STEPS), *tables])


INTRODUCTION = """# Conformance with torch.optim

Written by `make conformance` (tools/make_conformance.py), which runs both libraries; do not edit by hand.
PyTorch {torch}, on a CPU.

A number is the largest difference of any element of the parameter from PyTorch's for-loop (`foreach=False`) after any
of {steps} steps of `lr=0.125` on the same gradients; weights and gradients are random numbers of size 1. `0`: bit for
bit the same. *refused, as torch*: both raise this exception. *works; torch*: PyTorch raises the exception, zerograd
takes the step.

Columns without a dtype are float32. Differences of 1e-7 there, and of 1e-16 in float64, are single roundings. In
float64 PyTorch keeps a learning rate that is a float32 tensor in float32, and both keep NAdam's product so. In
bfloat16 and float16 it rounds after every operation, zerograd once a step: the differences are PyTorch's roundings.
Muon and Adafactor compute in 16 bits as PyTorch does. PyTorch's Muon without nesterov divides a bfloat16 momentum by
its norm, in place; zerograd leaves the momentum as it is. LBFGS minimises the squared distance to the same tensors.
"""


NUMBER = re.compile(r"(?<=\| )(?:\d+e[+-]\d+|0)(?= \|)")
"""A cell that holds a difference."""


def structure(text: str) -> str:
    """A page without its digits: which rows and columns there are, and what their verdicts are."""
    return NUMBER.sub("number", text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if the page is stale")
    options = parser.parse_args(arguments)
    now = page()
    written = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    if not options.check:
        PAGE.write_text(now, encoding="utf-8")
    elif structure(now) != structure(written):
        sys.stdout.write("stale: docs/conformance.md; run `make conformance`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
