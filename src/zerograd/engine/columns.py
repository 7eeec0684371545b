"""One number per parameter, many in one vector: the step counts and the scalar states.

``state[p][name]`` is a 0-dim view of a vector, as torch has it: reading and writing it by hand works. Reading all
costs one call, counting up another. A value that did not come from here (a loaded checkpoint, a user's own tensor) is
taken over the next time it is read; a tensor of the right kind stays the one in the state, with its memory here, so
that it goes on being counted wherever else it is held (torch.optim._stateless swaps states in and out).
"""

from __future__ import annotations

import weakref
from collections.abc import MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zerograd.engine.recording import unrecorded

State = MutableMapping[str, Any]


class _Vector:
    """Numbers of parameters that came together. views: what was given out, each the 0-dim view of its place."""

    __slots__ = ("numbers", "views")

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers
        self.views: list[weakref.ref[Tensor]] = []

    def is_used(self) -> bool:
        """Whether a view is still there, and has not got its memory elsewhere."""
        start = self.numbers.data_ptr()
        end = start + self.numbers.numel() * self.numbers.element_size()
        return any((view := ref()) is not None and start <= view.data_ptr() < end for ref in self.views)


class Column:
    """The numbers of one name. Parameters that come later get a vector of their own, so no view ever moves.

    A parameter is known by its id, and its view by a weak reference: the column keeps neither alive. An id that is
    used again does no harm, for what counts is that the state holds the view that was given out.
    """

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self._dtype = name, dtype
        self._vectors: list[_Vector] = []
        self._slots: dict[int, tuple[_Vector, int]] = {}
        self._crowded = 8
        """From how many vectors on dead ones are looked for: each time for all would be quadratic."""

    @unrecorded
    def read(self, params: Sequence[Tensor], states: Sequence[State], initial: float) -> list[float]:
        """The numbers of these parameters, whose states are given; one that has none yet gets ``initial``."""
        fresh: list[tuple[int, Tensor, State, float]] = []
        known: dict[_Vector, tuple[list[float], int, int]] = {}
        numbers = [initial] * len(params)
        for at, (p, state) in enumerate(zip(params, states, strict=True)):
            held = state.get(self.name)
            if held is not None:
                slot = self._slots.get(id(p))
                view = None if slot is None else slot[0].views[slot[1]]()
                if slot is not None and view is not None and view is held:
                    vector, place = slot
                    if vector not in known:
                        memory = vector.numbers
                        known[vector] = memory.tolist(), memory.data_ptr(), memory.element_size()
                    values, start, size = known[vector]
                    if view.data_ptr() == start + place * size:  # else somebody has set its ``data``
                        numbers[at] = values[place]
                        continue
                numbers[at] = float(held.detach() if isinstance(held, Tensor) else held)
            fresh.append((at, p, state, numbers[at]))
        if fresh:
            for (at, *_), number in zip(fresh, self._add(fresh), strict=True):
                numbers[at] = number
        return numbers

    @property
    def vectors(self) -> list[Tensor]:
        """What holds the numbers; ``share_memory_()`` of a state moves it."""
        return [vector.numbers for vector in self._vectors]

    def runs(self, params: Sequence[Tensor]) -> list[tuple[np.ndarray[Any, Any], list[int]]]:
        """Where the numbers of parameters that were read before are: pieces of the vectors, as NumPy sees the same
        memory, each with the positions in ``params`` that its numbers belong to."""
        inside: dict[_Vector, list[tuple[int, int]]] = {}
        for position, p in enumerate(params):
            vector, place = self._slots[id(p)]
            inside.setdefault(vector, []).append((place, position))
        found: list[tuple[np.ndarray[Any, Any], list[int]]] = []
        for vector, places in inside.items():
            places.sort()
            memory = vector.numbers.numpy()
            begin = 0
            for i, (place, _) in enumerate(places):
                if i + 1 == len(places) or places[i + 1][0] != place + 1:
                    run = places[begin : i + 1]
                    found.append((memory[run[0][0] : place + 1], [at for _, at in run]))
                    begin = i + 1
        return found

    @unrecorded
    def write(self, params: Sequence[Tensor], numbers: Sequence[float]) -> None:
        """Set the numbers of parameters that were read before."""
        memories: dict[_Vector, np.ndarray[Any, Any]] = {}
        for p, number in zip(params, numbers, strict=True):
            vector, place = self._slots[id(p)]
            memory = memories.get(vector)
            if memory is None:
                memory = memories[vector] = vector.numbers.numpy()
            memory[place] = number

    def _add(self, fresh: Sequence[tuple[int, Tensor, State, float]]) -> list[float]:
        """Give these parameters new places, in a vector of their own; a state that was put aside keeps its number.

        What they hold then, rounded to the dtype of the column.
        """
        if len(self._vectors) >= self._crowded:
            self._drop_dead_vectors()
        with torch.inference_mode(False):
            vector = _Vector(torch.tensor([number for *_, number in fresh], dtype=self._dtype, device="cpu"))
        self._vectors.append(vector)
        moved: set[int] = set()
        for place, (_, p, state, _) in enumerate(fresh):
            view, held = vector.numbers[place], state.get(self.name)
            if held is not None and id(held) not in moved and self._can_move(held):
                with torch.no_grad():
                    view = held.set_(view)
                moved.add(id(view))
            state[self.name] = view
            self._slots[id(p)] = vector, place
            vector.views.append(weakref.ref(view))
        return vector.numbers.tolist()

    def _can_move(self, held: Any) -> bool:
        """Whether a tensor may get its memory here: it looks like ours, and nobody is told of it by its address."""
        return (
            type(held) is Tensor
            and held.dim() == 0
            and held.dtype == self._dtype
            and held.layout == torch.strided
            and held.is_cpu
            and not (held.requires_grad or held.is_inference())
            and not held.is_shared()  # type: ignore[no-untyped-call]  # other processes would lose it
        )

    def _drop_dead_vectors(self) -> None:
        """Forget the vectors of which no state holds a number any more."""
        self._vectors = [v for v in self._vectors if v.is_used()]
        alive = set(self._vectors)
        self._slots = {key: slot for key, slot in self._slots.items() if slot[0] in alive}
        self._crowded = 2 * len(self._vectors) + 8
