"""Witness: whether groups, parameters and states are the very objects that a plan was made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zerograd.engine.owning import Owned
from zerograd.kernels.cpu import watch
from zerograd.kernels.cpu.counting import Call

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

_END = object()
_IMPLEMENTATION: Callable[[Tensor], int] = Tensor._cdata.__get__  # type: ignore[attr-defined]


class Witness(Owned):
    """Knows the objects. call: asks about all of them in machine code, hyper-parameters included; where that can't be
    done it is None, and ``holds`` asks in Python, about all but the hyper-parameters.

    names: of the states that are looked at, for each of ``states``, which are sequences of state dictionaries. free:
    the keys of a group that may change from step to step.
    """

    def __init__(
        self,
        optimizer: RuleOptimizer,
        states: Sequence[tuple[Sequence[str], Sequence[dict[str, Any]]]],
        free: Sequence[frozenset[str]],
    ) -> None:
        super().__init__(optimizer)
        self._groups, self._state = optimizer.param_groups, optimizer.state
        self._free = [names | {"params"} for names in free]
        self._sizes = [len(group) for group in self._groups]
        self.call: Call | None = None
        if watch.works():
            self._watch(states)
        else:
            self._remember(states)

    def outside(self) -> bool:
        """Whether the optimizer still has the list of groups and the dictionary of states that it had."""
        optimizer = self.optimizer
        return optimizer.param_groups is self._groups and optimizer.state is self._state

    def is_group(self, answer: int) -> bool:
        """Whether an answer of ``call`` says that a group's hyper-parameters are others."""
        return self.call is not None and 0 < answer <= len(self._groups)

    def renew(self) -> bool:
        """Take the groups' hyper-parameters as they are now; False if a group has other keys."""
        if [len(group) for group in self._groups] != self._sizes:
            return False
        if self.call is not None:
            for number, free in enumerate(self._free, start=1):
                self._watched.renew(number, free)
        return True

    def _tensors(self, states: Sequence[tuple[Sequence[str], Sequence[dict[str, Any]]]]) -> list[Tensor]:
        """The parameters and their states: each has to stand for the memory object that it stood for."""
        params = [p for group in self._groups for p in group["params"]]
        return params + [state[name] for names, held in states for state in held for name in names]

    def _watch(self, states: Sequence[tuple[Sequence[str], Sequence[dict[str, Any]]]]) -> None:
        watched = self._watched = watch.Watch()
        for group, free in zip(self._groups, self._free, strict=True):
            watched.add_dictionary(group, free)
        watched.add_list(self._groups)
        for group in self._groups:
            watched.add_dictionary(group, free=group.keys() - {"params"})
            watched.add_list(group["params"])
        watched.add_dictionary(self._state)
        for names, held in states:
            for state in held:
                watched.add_dictionary(state, free=state.keys() - names)
        for tensor in self._tensors(states):
            watched.add_tensor(tensor)
        watched.close()
        self.call = watched.call

    # ----------------------------------------------------------------------------------------- the same in Python

    def _remember(self, states: Sequence[tuple[Sequence[str], Sequence[dict[str, Any]]]]) -> None:
        # one name twice makes a tuple of a single state too
        self._readers = [(itemgetter(*names, *names[:1]), held) for names, held in states if names]
        self._identity = [*self._objects(), _END]
        self._known = self._tensors(states)
        self._implementations = list(map(_IMPLEMENTATION, self._known))

    def holds(self) -> bool:
        """Whether all objects are the same."""
        try:
            same = all(map(is_, chain(self._objects(), (_END,)), self._identity))
        except (TypeError, KeyError, AttributeError):  # a state is gone, or no dictionary any more
            return False
        return same and list(map(_IMPLEMENTATION, self._known)) == self._implementations

    def _objects(self) -> Iterator[Any]:
        lists = [group["params"] for group in self._groups]
        held = [chain.from_iterable(map(read, states)) for read, states in self._readers]
        return chain(self._groups, lists, *lists, self._state, self._state.values(), *held)
