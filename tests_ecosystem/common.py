"""What these tests share: the classes to compare, a small model with its data, and what counts as the same run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import zerograd as optim

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "Adamax": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "momentum": 0.9},
    "Adagrad": {"lr": 0.05},
    "Adadelta": {"lr": 1.0},
    "Rprop": {"lr": 0.01},
    "ASGD": {"lr": 0.05},
}
"""Every class that torch.optim has under the same name and zerograd makes from rules, each with some arguments."""

FEW = ["SGD", "AdamW", "RMSprop"]
"""Of these, for what does not depend on the algorithm: one buffer, two buffers with a step count, several."""

BOTH = (optim, torch.optim)
"""Where a class is taken from; a run is compared between the two."""


def optimizer(home: Any, name: str, params: Any, **more: Any) -> Any:
    return getattr(home, name)(params, **{**OPTIMIZERS[name], **more})


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))


def samples(dtype: torch.dtype = torch.float64, count: int = 32) -> list[tuple[Tensor, Tensor]]:
    """Inputs and targets of a noisy linear relation."""
    made = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 5, generator=made, dtype=torch.float64)
    targets = inputs.sum(1, keepdim=True) + 0.1 * torch.randn(count, 1, generator=made, dtype=torch.float64)
    return list(zip(inputs.to(dtype), targets.to(dtype), strict=True))


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def assert_same_run(mine: Any, theirs: Any, dtype: torch.dtype = torch.float64) -> None:
    """Two runs are the same up to rounding.

    Both do the same arithmetic in another order of operations, so their steps differ in the last bits, and a run of a
    few dozen steps multiplies that: by up to 1e3 for Adam's kin, which divide by the root of a small mean square. torch
    keeps numbers like NAdam's product of momenta in float32, which costs 1e-7 in a run in float64. A mistake in the
    protocol (a step too many, gradients clipped twice, a lost state) is above 1e-3.
    """
    tolerance = {torch.float64: 1e-6, torch.float32: 2e-4}[dtype]
    torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)
