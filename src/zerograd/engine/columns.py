"""One number per parameter, all in one vector: the step counts and the scalar states.

``state[p][name]`` is a 0-dim view of the vector, as torch has it: reading and writing it by hand works. Reading all
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
    """The vector of one name, and the views of it that stand in the state of the parameters."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name, self._dtype = name, dtype
        self._vector = torch.zeros(0, dtype=dtype)
        self._views: list[Tensor] = []
        self._slots: dict[Tensor, int] = {}

    def read(self, params: Sequence[Tensor], state: State, initial: float) -> list[float]:
        """The numbers of these parameters; one that has none yet gets ``initial``."""
        slots = [self._slot(p, state, initial) for p in params]
        values: list[float] = self._vector.tolist()
        return [values[i] for i in slots]

    def write(self, params: Sequence[Tensor], values: Sequence[float]) -> None:
        """Set the numbers of parameters that were read before."""
        slots = [self._slots[p] for p in params]
        if len(slots) == len(self._views):
            ordered = [0.0] * len(slots)
            for slot, value in zip(slots, values, strict=True):
                ordered[slot] = value
            self._vector[: len(slots)].copy_(torch.tensor(ordered, dtype=self._dtype))
        else:
            self._vector[torch.tensor(slots)] = torch.tensor(list(values), dtype=self._dtype)

    def _slot(self, p: Tensor, state: State, initial: float) -> int:
        held = state[p].get(self.name)
        slot = self._slots.get(p)
        if slot is not None and held is self._views[slot]:
            return slot
        value = initial if held is None else float(held)
        if slot is None:
            slot = self._new_slot(p, state)
        self._vector[slot] = value
        state[p][self.name] = self._views[slot]
        return slot

    def _new_slot(self, p: Tensor, state: State) -> int:
        if any(known not in state for known in self._slots):
            self._forget(state)
        slot = len(self._views)
        if slot == self._vector.numel():
            larger = torch.zeros(max(8, 2 * slot), dtype=self._dtype)
            larger[:slot] = self._vector
            self._relink(larger, self._slots, state)
        self._slots[p] = slot
        self._views.append(self._vector[slot])
        return slot

    def _forget(self, state: State) -> None:
        """Drop the parameters that left the optimizer's state."""
        kept = [known for known in self._slots if known in state]
        shorter = torch.zeros(max(8, len(kept)), dtype=self._dtype)
        for slot, known in enumerate(kept):
            shorter[slot] = self._vector[self._slots[known]]
        self._relink(shorter, {known: slot for slot, known in enumerate(kept)}, state)

    def _relink(self, vector: Tensor, slots: dict[Tensor, int], state: State) -> None:
        old = {known: self._views[slot] for known, slot in self._slots.items()}
        self._vector, self._slots = vector, slots
        self._views = [vector[slot] for slot in range(len(slots))]
        for known, slot in slots.items():
            if known in state and state[known].get(self.name) is old[known]:
                state[known][self.name] = self._views[slot]
