"""The contestants: an optimizer with parameters and gradients that are nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

import zerograd
from zerograd.benchmarking.model_shapes import Shape
from zerograd.benchmarking.rows import DEEPSPEED, DEFAULT, FOREACH, FUSED, OURS

HYPERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 1e-2, "momentum": 0.9},
    "AdamW": {"lr": 1e-3, "weight_decay": 1e-2},
}

WATCHED = 4096
"""How many numbers of the first parameter are looked at to see whether it moves."""


@dataclass(frozen=True)
class Start:
    """Where all contestants start: parameters and their gradients. Nobody steps on these; everybody copies them."""

    params: list[Tensor]
    grads: list[Tensor]

    @classmethod
    def drawn(cls, shapes: Sequence[Shape], dtype: torch.dtype) -> Start:
        """Random numbers, always the same for the same shapes."""
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
        grads = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
        return cls(params, grads)

    def copied(self) -> list[Tensor]:
        """Parameters of one's own, each with a gradient of its own."""
        params = [p.clone().requires_grad_() for p in self.params]
        for p, g in zip(params, self.grads, strict=True):
            p.grad = g.clone()
        return params


@dataclass(frozen=True)
class Entrant:
    """An optimizer and the parameters that it steps on."""

    optimizer: Any
    params: list[Tensor]

    def refill(self, start: Start) -> None:
        """Write the gradients anew, as backward would."""
        for p, g in zip(self.params, start.grads, strict=True):
            assert p.grad is not None
            p.grad.copy_(g)

    def stands_still(self, start: Start) -> bool:
        """Whether the beginning of the first parameter is, bit for bit, where it started."""
        return torch.equal(self.params[0].detach().flatten()[:WATCHED], start.params[0].flatten()[:WATCHED])


def torch_and_ours(name: str, start: Start, *, foreach: bool = True) -> dict[str, Entrant]:
    """The optimizer of this name: torch's implementations and zerograd's."""
    hypers, kind = HYPERS[name], getattr(torch.optim, name)
    makers: dict[str, Callable[[list[Tensor]], Any]] = {DEFAULT: lambda params: kind(params, **hypers)}
    if foreach:
        makers[FOREACH] = lambda params: kind(params, foreach=True, **hypers)
    makers[FUSED] = lambda params: kind(params, fused=True, **hypers)
    makers[OURS] = lambda params: getattr(zerograd, name)(params, **hypers)
    return {label: entrant(make, start) for label, make in makers.items()}


def entrant(make: Callable[[list[Tensor]], Any], start: Start) -> Entrant:
    """An optimizer over a copy of the start."""
    params = start.copied()
    return Entrant(make(params), params)


def deepspeed_entrant(start: Start) -> tuple[dict[str, Entrant], str]:
    """DeepSpeed's AdamW for CPUs under its label, if it can be had, and in words what became of it."""
    if find_spec("deepspeed") is None:
        return {}, f"{DEEPSPEED} is left out: deepspeed is not installed."
    try:
        kind = import_module("deepspeed.ops.adam").DeepSpeedCPUAdam
        made = entrant(lambda params: kind(params, adamw_mode=True, **HYPERS["AdamW"]), start)
    except Exception as error:  # it compiles its kernels here, and may find no compiler
        return {}, f"{DEEPSPEED} is left out: it can't be made here ({type(error).__name__})."
    return {DEEPSPEED: made}, f"{DEEPSPEED} is the one of deepspeed {import_module('deepspeed').__version__}."
