"""A small network, its batches, and what a window of them has to come to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import zerograd

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "zerograd.SGD": lambda params: zerograd.SGD(params, lr=0.1),
    "zerograd.AdamW": lambda params: zerograd.AdamW(params, lr=0.01),
    "zerograd.SGD, clipped": lambda params: zerograd.SGD(params, lr=0.1, clip=0.05),
    "torch.SGD": lambda params: torch.optim.SGD(params, lr=0.1),
    "torch.Adam": lambda params: torch.optim.Adam(params, lr=0.01),
}


def mean(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets)


def summed(outputs: Tensor, targets: Tensor) -> Tensor:
    return nn.functional.mse_loss(outputs, targets, reduction="sum")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def samples(sizes: list[int]) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(n, 3).double(), torch.randn(n, 1).double()) for n in sizes]


def joined(batches: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def in_full(make: Any, batches: Any, every: int) -> Tensor:
    model = network()
    optimizer = make(model.parameters())
    for start in range(0, len(batches), every):
        inputs, targets = joined(batches[start : start + every])
        optimizer.zero_grad()
        mean(model(inputs), targets).backward()
        optimizer.step()
    return weights(model)


class Replica(nn.Linear):
    """Counts, as DistributedDataParallel has it, which forward passes are to keep their gradients to themselves."""

    quiet = False

    def __init__(self) -> None:
        super().__init__(3, 1)
        self.seen: list[bool] = []

    @contextlib.contextmanager
    def no_sync(self) -> Any:
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append(self.quiet)
        return super().forward(inputs)
