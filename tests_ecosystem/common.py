"""What these tests share: the classes to compare, a small model with its data, and what counts as the same run."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
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
    "Lion": {"lr": 0.001, "weight_decay": 0.1},
}
"""Every class that torch.optim has under the same name and zerograd makes from rules, and one that torch lacks."""

FEW = ["SGD", "AdamW", "NAdam", "Lion"]
"""For what does not depend on the algorithm: one buffer, two and a step count, a scalar among the state, none of torch.

Lion's small learning rate keeps a run with rounded gradients close: a sign that turns costs twice the rate.
"""


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, arXiv 2302.06675, as plainly as torch allows: what ours is compared with."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    m = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                    p *= 1 - group["lr"] * group["weight_decay"]
                    p -= group["lr"] * m.lerp(p.grad, 1 - group["betas"][0]).sign()
                    m.lerp_(p.grad, 1 - group["betas"][1])
        return loss


torchs = SimpleNamespace(**{name: getattr(torch.optim, name, Lion) for name in OPTIMIZERS})
"""torch's classes, and the one above."""

BOTH = (optim, torchs)
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
