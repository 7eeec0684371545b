"""What the tests of the engine share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import zerograd as optim

SHARED = ["SGD", "Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta", "Rprop", "ASGD"]
"""The classes that torch.optim has under the same name and zerograd makes from rules."""
OWN = ["Lion", "ADOPT", "LAMB", "StableAdamW", "ScheduleFreeAdamW", "Prodigy"]
FLAGS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "RMSprop": {"momentum": 0.9, "centered": True},
}


def noise(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [noise(i, *shape, dtype=dtype).requires_grad_() for i, shape in enumerate([(3, 2), (4,), ()])]


def give_gradients(params: list[Tensor], seed: int) -> None:
    for i, p in enumerate(params):
        p.grad = noise(100 * seed + i, *p.shape, dtype=p.dtype)


def ours(name: str, params: Any, **hypers: Any) -> Any:
    return getattr(optim, name)(params, **hypers)


def torchs(name: str, params: Any, **hypers: Any) -> Any:
    return getattr(torch.optim, name)(params, foreach=False, **hypers)


def snapshot(optimizer: Any) -> list[Tensor]:
    """Copies of every parameter and state tensor."""
    found = []
    for group in optimizer.param_groups:
        for p in group["params"]:
            found.append(p.detach().clone())
            found += [v.detach().clone() for _, v in sorted(optimizer.state.get(p, {}).items()) if torch.is_tensor(v)]
    return found


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
