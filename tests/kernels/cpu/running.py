"""Small things to run: functions of one number, an optimizer's steps, programs in a process of their own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from engine.common import noise, snapshot
from zerograd import from_rule, rules
from zerograd.kernels.cpu.kernel import function_at

UNEVEN: tuple[tuple[int, ...], ...] = ((301, 257), (7,), (), (64, 33, 5), (0,), (90_001,), (1,))
"""Enough elements to be worth several threads, in tensors of very different sizes."""


def adding(number: int) -> str:
    """The source of a function that adds a number to its argument."""
    return f"define i64 @zerograd_kernel(i64 %x) {{\n  %y = add i64 %x, {number}\n  ret i64 %y\n}}\n"


def answer(source: str, argument: int = 1) -> int:
    """What a function gives, loaded or made as kernels are."""
    return int(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(function_at(source))(argument))


def bits(tensors: Sequence[Tensor]) -> list[bytes]:
    """The memory of tensors."""
    return [tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors]


def model(shapes: Sequence[tuple[int, ...]], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Parameters, the same each time."""
    return [noise(i, *shape, dtype=dtype).requires_grad_() for i, shape in enumerate(shapes)]


def give(params: Sequence[Tensor], seed: int) -> None:
    """Gradients of this step."""
    for i, p in enumerate(params):
        p.grad = noise(1000 + 100 * seed + i, *p.shape, dtype=p.dtype)


def everything(optimizer: Any) -> list[bytes]:
    """The bits of all that an optimizer holds: parameters, states, numbers of the groups."""
    numbers = [[v for v in group.values() if isinstance(v, float)] for group in optimizer.param_groups]
    return [*bits(snapshot(optimizer)), repr(numbers).encode()]


def fresh_step() -> Tensor:
    """The first step of a class that nobody has used yet: it has to find or make its kernels."""
    p = model([(5,)])[0]
    give([p], 0)
    from_rule(rules.sgd, name="Fresh", lr=0.1)([p]).step()
    return p.detach()


def program(text: str, timeout: float = 60.0, **environment: str) -> str:
    """Run a program in a fresh interpreter where warnings are errors; what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text)],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"it ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout
