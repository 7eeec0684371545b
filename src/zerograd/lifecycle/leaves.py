"""The leaves of the graph that a running backward goes through."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from typing import Any

import torch
from torch import Tensor


def reaches_inputs(watched: Container[Tensor]) -> bool:
    """Whether the backward that is running reaches leaves that are no parameters: it is made for their gradients.

    watched: parameters of other classes.
    """
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is torch.autograd.backward.__code__:
            roots = frame.f_locals.get("tensors")
            leaves = _leaves([roots] if isinstance(roots, Tensor) else list(roots or ()))
            return any(not isinstance(leaf, torch.nn.Parameter) and leaf not in watched for leaf in leaves)
        frame = frame.f_back
    return False


def _leaves(roots: list[Tensor], limit: int = 100_000) -> Iterator[Tensor]:
    waiting: list[Any] = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen: set[Any] = set(waiting)
    while waiting and len(seen) < limit:
        node = waiting.pop()
        variable = getattr(node, "variable", None)
        if variable is not None:
            yield variable
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
