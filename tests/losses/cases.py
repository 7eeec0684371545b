"""Scores and targets to try the losses on, and the losses that can be tried alike."""

from __future__ import annotations

import torch

from zerograd import losses

CLASSES = 4


def scores(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def numbers(*shape: int) -> torch.Tensor:
    target = torch.randint(CLASSES, shape, generator=torch.Generator().manual_seed(1))
    target.view(-1)[1::5] = -100
    return target


def signs(*shape: int) -> torch.Tensor:
    return 2 * torch.randint(2, shape, generator=torch.Generator().manual_seed(2)) - 1


LOSSES = {
    "hinge": losses.hinge_loss,
    "squared hinge": lambda x, y, **k: losses.hinge_loss(x, y, squared=True, **k),
    "all hinges": lambda x, y, **k: losses.hinge_loss(x, y, multiclass="weston_watkins", **k),
    "focal": losses.focal_loss,
    "focal 0.5": lambda x, y, **k: losses.focal_loss(x, y, gamma=0.5, **k),
    "zero-one": losses.zero_one_loss,
}
