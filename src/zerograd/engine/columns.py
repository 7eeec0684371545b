"""One number per parameter, many in one vector: the step counts and the scalar states.

``state[p][name]`` is a 0-dim view of a vector, as torch has it: reading and writing it by hand works. Reading all
costs one call, counting up another. A value that did not come from here (a loaded checkpoint, a user's own tensor) is
taken over the next time it is read.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

State = MutableMapping[Any, Any]


class Column:
    """The numbers of one name. Parameters that come later get a vector of their own, so no view ever moves.

    A parameter is known by its id, for the column must not keep it alive. An id that is used again does no harm: what
    counts is that the state holds the view that was given out.
    """

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self._dtype = name, dtype
        self._vectors: list[Tensor] = []
        self._views: list[Tensor] = []
        self._slots: dict[int, int] = {}

    def read(self, params: Sequence[Tensor], states: Sequence[State], initial: float) -> list[float]:
        """The numbers of these parameters, whose states are given; one that has none yet gets ``initial``."""
        slots = self._known(params)
        for slot, state in zip(slots, states, strict=True):
            view = self._views[slot]
            held = state.get(self.name)
            if held is not view:
                view.fill_(initial if held is None else float(held))
                state[self.name] = view
        values = self._values()
        return [values[slot] for slot in slots]

    def write(self, params: Sequence[Tensor], numbers: Sequence[float]) -> None:
        """Set the numbers of parameters that were read before."""
        values = self._values()
        for p, number in zip(params, numbers, strict=True):
            values[self._slots[id(p)]] = number
        start = 0
        for vector in self._vectors:
            vector.copy_(torch.tensor(values[start : start + vector.numel()], dtype=self._dtype))
            start += vector.numel()

    def _values(self) -> list[float]:
        return [value for vector in self._vectors for value in vector.tolist()]

    def _known(self, params: Sequence[Tensor]) -> list[int]:
        """The places of the parameters among all values; new ones get a vector together."""
        try:
            return [self._slots[id(p)] for p in params]
        except KeyError:
            new = [p for p in params if id(p) not in self._slots]
        vector = torch.zeros(len(new), dtype=self._dtype)
        for i, p in enumerate(new):
            self._slots[id(p)] = len(self._views)
            self._views.append(vector[i])
        self._vectors.append(vector)
        return [self._slots[id(p)] for p in params]
