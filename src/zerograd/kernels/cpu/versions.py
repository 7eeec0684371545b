"""Version counters: autograd has to know that memory which it saved for backward was written to.

The same count as ``torch.autograd.graph.increment_version``, for tensors that are known to have a counter.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.counting import LOOP, Call
from zerograd.kernels.cpu.inspector import libraries
from zerograd.kernels.cpu.kernel import function_at

_BUMP = "_ZN5torch8autograd4impl12bump_versionERKN2at6TensorE"  # void bump_version(const at::Tensor&)


class Versions:
    """The counters of some tensors. call: counts all of them up, in machine code; None where that can't be done.

    The tensors must not be inference tensors, which have no counter.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self.call: Call | None = None
        address = _function()
        if address is not None:
            words = [len(tensors), *(word for tensor in tensors for word in (tensor._cdata, address))]
            self._words = np.array(words, np.int64)
            self.call = (function_at(_SOURCE), int(self._words.ctypes.data))

    def count(self) -> None:
        if self.call is None:
            torch.autograd.graph.increment_version(self._tensors)
        else:
            pool.run_short(*self.call)


@functools.cache
def _function() -> int | None:
    """The address of torch's function, if it is there and does what it should in a trial."""
    try:
        _, cpu = libraries()
        address = ctypes.cast(getattr(cpu, _BUMP), ctypes.c_void_p).value
    except (OSError, AttributeError):
        return None
    assert address is not None
    with torch.inference_mode(False):
        tensor = torch.zeros(1, device="cpu")
    before = tensor._version
    words = np.array([1, tensor._cdata, address], np.int64)
    pool.run_short(function_at(_SOURCE), int(words.ctypes.data))
    return address if tensor._version == before + 1 else None


_SOURCE = LOOP.format(
    width=2,  # a row is a handle of the tensor, whose first word is its implementation, and torch's function
    work="""\
  %function = inttoptr i64 %second to ptr
  call void %function(ptr %row)
  br label %done""",
)
