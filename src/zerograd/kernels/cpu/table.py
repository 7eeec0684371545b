"""The tensors that one kernel serves, as tables of addresses, chunks and numbers; and the call itself."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zerograd.algebra.graph import Node
from zerograd.formats.blocks import GROUP
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.kernel import Kernel
from zerograd.kernels.cpu.printer import (
    AHEAD,
    CHUNK_TABLE,
    CHUNK_WORDS,
    CHUNKS,
    COUNTER,
    FIRST_SCALAR,
    LATE_TABLE,
    SUMS,
    TENSOR_TABLE,
    tensor_words,
)

PARALLEL = 32_768
"""Elements from which on waking the other threads costs less than it gains (measured on two cores)."""

SHORT = 262_144
"""Elements up to which a call keeps Python's lock: it takes less than a tenth of a millisecond, and nobody can free a
tensor meanwhile."""

SMALLEST, LARGEST = 8_192, 131_072
"""Bounds of a chunk, in elements."""


@dataclass(frozen=True)
class Entry:
    """One tensor's addresses, in the order of the layout's buffers, its number of elements and its noise streams.

    row: of scalars. length: elements of a row of groups, where the layout has such; no chunk starts inside a group.
    """

    addresses: Sequence[int]
    elements: int
    row: int
    streams: Sequence[int] = ()
    length: int = 0


class Table:
    """Arrays that a kernel reads. They are made once; a step changes addresses of gradients and rows of scalars.

    The division into chunks depends on the sizes alone, so sums are the same for any number of threads.
    """

    def __init__(self, kernel: Kernel, entries: Sequence[Entry], rows: int, scalars: int) -> None:
        self.kernel = kernel
        self.total = sum(entry.elements for entry in entries)
        self.counts = np.array([entry.elements for entry in entries], np.float64)
        self._row = struct.Struct(f"=dQ{scalars}d")
        self._scalars = np.zeros((rows, FIRST_SCALAR + scalars), np.float64)
        self._bytes = memoryview(self._scalars.data).cast("B")
        start, width = self._scalars.ctypes.data, self._scalars.strides[0]
        rows_of: list[list[int]] = []
        for entry in entries:
            streams = entry.streams or [0] * len(entry.addresses)
            pairs = [word for pair in zip(entry.addresses, streams, strict=True) for word in pair]
            lengths = [entry.length] if kernel.layout.blocks else []
            rows_of.append([start + entry.row * width, *pairs, *lengths])
        rows_of += [[0] * tensor_words(kernel.layout)] * AHEAD
        self.tensors = np.array(rows_of, np.uint64).view(np.int64)
        self._chunks, self._starts = _chunks(entries, self.total)
        self.late = np.zeros((len(entries), max(1, len(kernel.late))), np.float64)
        widest = max([1, *(len(f.one.sums) for f in kernel.functions)])
        self.sums = np.zeros((len(self._chunks), widest), np.float64)
        self._descriptor = np.zeros(8, np.int64)
        self._descriptor[CHUNKS] = len(self._chunks)
        for word, array in (
            (CHUNK_TABLE, self._chunks), (TENSOR_TABLE, self.tensors), (LATE_TABLE, self.late), (SUMS, self.sums),
        ):  # fmt: skip
            self._descriptor[word] = array.ctypes.data
        self.descriptor = int(self._descriptor.ctypes.data)

    @property
    def gradient_places(self) -> list[int]:
        """The addresses at which the addresses of the gradients belong, tensor by tensor."""
        start, width = int(self.tensors.ctypes.data), self.tensors.strides[0]
        after = 3 * self.tensors.itemsize  # the row, the parameter and its noise
        return [start + tensor * width + after for tensor in range(len(self.counts))]

    @property
    def chunk_count(self) -> int:
        return len(self._chunks)

    @property
    def sums_address(self) -> int:
        """Where a pass leaves its sums, chunk by chunk."""
        return int(self.sums.ctypes.data)

    @property
    def scales(self) -> list[int]:
        """The addresses of what the gradients of each row are multiplied by."""
        start, width = int(self._scalars.ctypes.data), self._scalars.strides[0]
        return [start + row * width for row in range(len(self._scalars))]

    def set_row(self, row: int, scale: float, noise: int, values: Sequence[Any]) -> None:
        """The numbers of a row: what gradients are multiplied by, the noise of the step, the graph's own."""
        self._row.pack_into(self._bytes, row * self._row.size, scale, noise, *values)

    def rewind(self) -> None:
        """Make all chunks ready to be taken again."""
        self._descriptor[COUNTER] = 0

    def launch(self, address: int) -> None:
        """Run a function over all chunks, on as many threads as that is worth."""
        self.rewind()
        threads = pool.threads() if self.total >= PARALLEL else 1
        if threads == 1 and self.total <= SHORT:
            pool.run_short(address, self.descriptor)
        elif len(self._chunks):
            pool.run(address, self.descriptor, min(threads, len(self._chunks)))

    def summed(self, count: int) -> np.ndarray[Any, Any]:
        """After a pass with ``count`` sums: their totals, an array (tensor, sum), added in the order of the chunks."""
        flat = self.sums.reshape(-1)[: len(self._chunks) * count].reshape(-1, count)
        result = np.zeros((len(self.counts), count))
        filled = self.counts > 0
        if filled.any():
            result[filled] = np.add.reduceat(flat, self._starts[filled], axis=0)
        return result

    def set_late(self, number: int, values: Any) -> None:
        """A late number, for all tensors or one for each."""
        self.late[:, number] = values


def _chunks(entries: Sequence[Entry], total: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The chunk table, and where in it each tensor starts."""
    length = min(max(-(-total // 32 // 2048) * 2048, SMALLEST), LARGEST)
    rows: list[tuple[int, int, int]] = []
    starts: list[int] = []
    for tensor, entry in enumerate(entries):
        starts.append(len(rows))
        for begin, end in _pieces(entry, length):
            rows += [(tensor, offset, min(length, end - offset)) for offset in range(begin, end, length)]
    return np.array(rows, np.int64).reshape(-1, CHUNK_WORDS), np.array(starts, np.int64)


def _pieces(entry: Entry, length: int) -> Sequence[tuple[int, int]]:
    """The parts of a tensor that may be cut at every multiple of a chunk's length: all of it, but where rows end with
    a group that is not full. Of short rows as many are taken together as fit into a chunk."""
    size, row = entry.elements, entry.length
    if row % GROUP == 0:
        return [(0, size)]
    whole = max(1, length // row) * row
    return [(begin, min(size, begin + whole)) for begin in range(0, size, whole)]


def host_values(nodes: Sequence[Node], rows: Sequence[Sequence[Any]], row_of: Sequence[int]) -> dict[int, Any]:
    """The host numbers by node, one for each tensor."""
    table = np.array([[float(value) for value in row] for row in rows])
    spread = table[np.array(row_of, np.int64)]
    values: dict[int, Any] = {}
    for i, node in enumerate(nodes):
        values[node.id] = spread[:, i] != 0 if node.is_bool else spread[:, i]
    return values
