"""States before the first step: made by the constructor, as torch's Adagrad does, or for processes that share them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from zerograd.engine.buckets import started
from zerograd.engine.scalar_states import counts_steps
from zerograd.engine.storing import stored

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


def start(optimizer: RuleOptimizer) -> list[Any]:
    """All states as they are before a parameter's first step, those that are there as they are; the tensors of them.

    Of parameters without memory there are none: torch's Adagrad makes such, which fit nothing once there is memory.
    """
    found: list[Any] = []
    optimizer._state_choices.look()
    for group in optimizer.param_groups:
        hypers = optimizer._hypers(group)
        params = [p for p in group["params"] if not p.is_meta]  # those will get memory, and states at their first step
        graph = optimizer._programs(group).find(hypers).graph
        states = [optimizer.state[p] for p in params]
        if counts_steps(optimizer, graph):
            optimizer._column("step").read(params, states, 0.0)
        for name in graph.tensor_states:
            for p, state in zip(params, states, strict=True):
                if name not in state:
                    state[name] = started(graph.states[name], p, p, hypers)
        choices, name = optimizer._state_choices.of(group, graph), type(optimizer).__name__
        for p, state in zip(params, states, strict=True):
            state.update(stored(state, p, choices, name))
            found += [value for value in state.values() if isinstance(value, Tensor) and value.dim() > 0]
    return found


def share_memory(self: RuleOptimizer) -> None:
    """Put the tensor states into memory that processes share (Hogwild; Niu et al. 2011), as torch's Adagrad.

    Call it before the processes start, and share the model's parameters likewise. States that are missing start now.
    """
    for tensor in start(self):
        tensor.share_memory_()
