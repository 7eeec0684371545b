"""The model through torch.compile, if this machine can."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from zerograd.errors import UsageError

COMPILERS = ("g++", "clang++", "c++")


def compiled(model: nn.Module) -> Callable[..., Any]:
    """The same function of the inputs; the model's own parameters and names stay what they are.

    One program for each shape: so a run that goes on computes with the very programs that it would have had.
    Raises UsageError on a CPU without a C++ compiler, which torch.compile needs.
    """
    on_cpu = all(p.device.type == "cpu" for p in model.parameters())
    wanted = os.environ.get("CXX")
    if on_cpu and sys.platform != "win32" and not any(map(shutil.which, [wanted] if wanted else COMPILERS)):
        raise UsageError(
            f"--compile needs a C++ compiler, and there is no {wanted or 'g++ or clang++'} on this machine. "
            "Install one (on Debian: apt install g++), or leave --compile out."
        )
    function: Callable[..., Any] = torch.compile(model, dynamic=False)
    return function
