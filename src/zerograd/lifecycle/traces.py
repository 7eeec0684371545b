"""What a backward has left, as a mark by which a clear is seen that comes after it: to None, or to zeros in place."""

from __future__ import annotations

from ctypes import string_at
from typing import Any

import torch

from zerograd.lifecycle.ownership import owned
from zerograd.lifecycle.reading import is_zero
from zerograd.lifecycle.stamps import write_counts

LOOK = 8
"""So many numbers are read each time: it has to cost next to nothing."""


class Traces:
    """The mark of the last backward on the gradients of one optimizer.

    One gradient stands for all, the smallest of those that are there at the first look. Only if it has been written
    to, or its first numbers have become zeros without that, the others are read. The latter (``.data``) is looked for
    only on a CPU, and after the first backward, because it takes as long as all the rest.

    there: whether there was a backward since the beginning, or since ``there`` was set to False to begin anew.
    """

    __slots__ = ("_alive", "_counts", "_optimizer", "_parameter", "_size", "there")

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._parameter: Any = None
        self._counts: Any = None
        self._size = 0
        self._alive = False
        self.there = False

    def renew(self) -> None:
        """A backward has ended."""
        p = self._parameter
        g: Any = None if p is None else p.grad
        if g is None:
            written = (p for p in owned(self._optimizer) if p.grad is not None)
            p = self._parameter = min(written, key=lambda p: p.numel(), default=None)
            if p is None:
                self.there = False
                return
            g = p.grad
            self._size = size_to_read(g)
        if size := self._size:
            self._counts, self._alive = g._version, not self.there and is_alive(g, size)
        else:
            self._counts = write_counts(g)
        self.there = True

    def are_gone(self) -> bool:
        """Whether all gradients have been cleared since the last backward; no, if there was none."""
        if not self.there:
            return False
        g = self._parameter.grad
        if g is not None:
            if size := self._size:
                unchanged = self._counts == g._version and (not self._alive or is_alive(g, size))
            else:
                unchanged = self._counts == write_counts(g)
            if unchanged:
                return False
        return are_zero(self._optimizer)


def size_to_read(gradient: Any) -> int:
    """How many bytes from the address of a gradient on are its first numbers; 0 if they can't be read there."""
    if type(gradient) is not torch.Tensor or gradient.device.type != "cpu" or gradient.layout != torch.strided:
        return 0
    count = min(gradient.numel(), LOOK) if gradient.is_contiguous() else 1
    return int(count * gradient.element_size()) if gradient.data_ptr() else 0


def is_alive(gradient: Any, size: int) -> bool:
    """Whether any bit but the signs is set in so many bytes."""
    return bool(string_at(gradient.data_ptr(), size).strip(b"\0\x80"))


def marks_of(optimizer: Any) -> list[Any]:
    """What each gradient is told by: itself, and how often it has been written to."""
    return [p.grad is not None and (id(p.grad), write_counts(p.grad)) for p in owned(optimizer)]


def are_hidden(optimizer: Any) -> bool:
    """Whether no gradient can be seen: FSDP keeps them to itself until they are sent."""
    return all(p.grad is None for p in owned(optimizer))


def are_zero(optimizer: Any) -> bool:
    """Whether the gradients of all parameters are None or zero everywhere."""
    return all(p.grad is None or is_zero(p.grad) for p in owned(optimizer))
