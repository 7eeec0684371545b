"""One number per parameter, many in one vector: the step counts and the scalar states.

``state[p][name]`` is a 0-dim view of a vector, as torch has it: reading and writing it by hand works. Reading all
costs one call, counting up another. A value that did not come from here (a loaded checkpoint, a user's own tensor) is
taken over the next time it is read.
"""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = MutableMapping[Any, Any]


class Column:
    """The numbers of one name. Parameters that come later get a vector of their own, so no view ever moves.

    A parameter is known by its id, and its view by a weak reference: the column keeps neither alive. An id that is
    used again does no harm, for what counts is that the state holds the view that was given out.
    """

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self._dtype = name, dtype
        self._vectors: list[Tensor] = []
        self._views: list[weakref.ref[Tensor]] = []
        self._slots: dict[int, int] = {}

    def read(self, params: Sequence[Tensor], states: Sequence[State], initial: float) -> list[float]:
        """The numbers of these parameters, whose states are given; one that has none yet gets ``initial``."""
        fresh: list[tuple[Tensor, State, float]] = []
        for p, state in zip(params, states, strict=True):
            held = state.get(self.name)
            slot = self._slots.get(id(p))
            if held is None or slot is None or held is not self._views[slot]():
                fresh.append((p, state, initial if held is None else float(held)))
        if fresh:
            self._add(fresh)
        values = self._values()
        return [values[self._slots[id(p)]] for p in params]

    @property
    def vectors(self) -> list[Tensor]:
        """What holds the numbers; ``share_memory_()`` of a state moves it."""
        return self._vectors

    def runs(self, params: Sequence[Tensor]) -> list[tuple[np.ndarray[Any, Any], list[int]]]:
        """Where the numbers of parameters that were read before are: pieces of the vectors, as NumPy sees the same
        memory, each with the positions in ``params`` that its numbers belong to."""
        order = sorted((self._slots[id(p)], position) for position, p in enumerate(params))
        found: list[tuple[np.ndarray[Any, Any], list[int]]] = []
        base = 0
        for vector in self._vectors:
            memory = vector.numpy()
            inside = [(slot - base, at) for slot, at in order if 0 <= slot - base < vector.numel()]
            begin = 0
            for i, (slot, _) in enumerate(inside):
                if i + 1 == len(inside) or inside[i + 1][0] != slot + 1:
                    run = inside[begin : i + 1]
                    found.append((memory[run[0][0] : slot + 1], [at for _, at in run]))
                    begin = i + 1
            base += vector.numel()
        return found

    def write(self, params: Sequence[Tensor], numbers: Sequence[float]) -> None:
        """Set the numbers of parameters that were read before."""
        values = self._values()
        for p, number in zip(params, numbers, strict=True):
            values[self._slots[id(p)]] = number
        start = 0
        for vector in self._vectors:
            vector.copy_(torch.tensor(values[start : start + vector.numel()], dtype=self._dtype, device="cpu"))
            start += vector.numel()

    def _values(self) -> list[float]:
        return [value for vector in self._vectors for value in vector.tolist()]

    def _add(self, fresh: Sequence[tuple[Tensor, State, float]]) -> None:
        """Give these parameters new places, in a vector of their own; a state that was put aside keeps its number."""
        self._drop_dead_vectors()
        with torch.inference_mode(False):
            vector = torch.tensor([number for *_, number in fresh], dtype=self._dtype, device="cpu")
        self._vectors.append(vector)
        for i, (p, state, _) in enumerate(fresh):
            view = state[self.name] = vector[i]
            self._slots[id(p)] = len(self._views)
            self._views.append(weakref.ref(view))

    def _drop_dead_vectors(self) -> None:
        """Forget the vectors of which no state holds a number any more."""
        vectors: list[Tensor] = []
        views: list[weakref.ref[Tensor]] = []
        moved: dict[int, int] = {}
        start = 0
        for vector in self._vectors:
            places = range(start, start + vector.numel())
            start += vector.numel()
            if any(self._views[place]() is not None for place in places):
                moved.update({place: len(views) + i for i, place in enumerate(places)})
                vectors.append(vector)
                views += [self._views[place] for place in places]
        self._vectors, self._views = vectors, views
        self._slots = {key: moved[place] for key, place in self._slots.items() if place in moved}
