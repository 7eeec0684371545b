"""Reading the numbers of gradients and weights, as few as will do."""

from __future__ import annotations

import torch
from torch import Tensor


def _numbers(t: Tensor) -> Tensor:
    t = t.detach()
    t = getattr(t, "_local_tensor", t)
    return t.coalesce().values() if t.layout == torch.sparse_coo else t


def is_zero(g: Tensor) -> bool:
    """Whether a gradient is zero everywhere."""
    try:
        return not bool(_numbers(g).any())
    except (RuntimeError, NotImplementedError):  # a layout or device that can't be read
        return False


def is_reduced(g: Tensor) -> bool:
    """Whether a gradient may be a view of a bucket that DistributedDataParallel has put in the place of backward's."""
    return g._is_view() and torch.distributed.is_available() and torch.distributed.is_initialized()


def is_not_finite(g: Tensor) -> bool:
    """Whether a gradient holds nan or infinities."""
    try:
        return not bool(torch.isfinite(_numbers(g)).all())
    except (RuntimeError, NotImplementedError):
        return False


def sampled(p: Tensor) -> Tensor:
    """A few numbers of a parameter."""
    flat = _numbers(p).reshape(-1)
    return flat[:: max(1, flat.numel() // 8)][:8].clone()


def is_other(g: Tensor, before: Tensor) -> bool | None:
    """Whether other numbers have been put into a gradient since ``before`` was sampled from it.

    Clipping, unscaling and normalising make numbers smaller, or multiply all of them with one factor: the gradient is
    the same then. None if the sample can't tell, because it is zero.
    """
    now = sampled(g)
    if now.shape != before.shape:
        return True
    if not before.any():
        return True if now.any() else None
    same = bool(((now * before >= 0) & (now.abs() <= before.abs())).all())
    if same:
        return False
    return not torch.allclose(now / now.abs().sum(), before / before.abs().sum(), rtol=1e-2, atol=1e-3)
