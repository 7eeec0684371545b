"""Tensors in every layout that a parameter, its gradient or its state may come in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Layout = Callable[[Tensor], Tensor]


def contiguous(x: Tensor) -> Tensor:
    return x.clone()


def transposed(x: Tensor) -> Tensor:
    """The dimensions in reverse order in memory: dense, but not contiguous."""
    order = tuple(range(x.dim()))[::-1]
    return x.permute(order).contiguous().permute(order)


def sliced(x: Tensor) -> Tensor:
    """Every other element of a larger tensor: not dense."""
    wide = torch.full((*x.shape, 2), 77.0, dtype=x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def shifted(x: Tensor) -> Tensor:
    """At an odd place of a flat buffer, as the gradients of DDP and the parameters of FSDP are."""
    flat = torch.full((x.numel() + 3,), 77.0, dtype=x.dtype)
    flat[1 : x.numel() + 1] = x.flatten()
    return flat[1 : x.numel() + 1].view(x.shape)


def expanded(x: Tensor) -> Tensor:
    """One number seen in every place (stride 0), as the gradient of a sum is."""
    return x.flatten()[:1].sum().expand(x.shape)


def channels_last(x: Tensor) -> Tensor:
    """In memory with the second dimension last, if there are four."""
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x.clone()


FOR_PARAMETERS: tuple[Layout, ...] = (contiguous, transposed, sliced, shifted, channels_last)
FOR_GRADIENTS: tuple[Layout, ...] = (*FOR_PARAMETERS, expanded)
