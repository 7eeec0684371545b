"""States before the first step: for processes that are to share them (Hogwild; Niu et al. 2011)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from zerograd.engine.buckets import started
from zerograd.engine.storing import stored

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


def share_memory(self: RuleOptimizer) -> None:
    """Put the tensor states into memory that processes share, as torch's Adagrad; those that are missing start now.

    Call it before the processes start, and share the model's parameters likewise.
    """
    for group in self.param_groups:
        hypers = self._hypers(group)
        graph = self._programs(group).find(hypers).graph
        for p in group["params"]:
            state = self.state[p]
            for name in graph.tensor_states:
                if name not in state:
                    state[name] = started(graph.states[name], p, p, hypers)
            state.update(stored(state, p, self._state_choices.of(group, graph), type(self).__name__))
            for value in state.values():
                if isinstance(value, Tensor) and value.dim() > 0:
                    value.share_memory_()  # type: ignore[no-untyped-call]
