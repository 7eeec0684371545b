"""A rule carried through some steps by the interpreter, on one float64 tensor: what it means, without any engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from zerograd.algebra import Graph, Rule
from zerograd.algebra.states import Scalar, Start
from zerograd.kernels.eager import plain
from zerograd.kernels.reducing import Partial, finished


def started(rule: Rule, graph: Graph, p: Tensor, g: Tensor, hypers: Mapping[str, Any]) -> dict[str, Any]:
    """The states of a graph before the first step."""
    found: dict[str, Any] = {}
    for name in graph.states:
        spec = rule.states[name]
        if isinstance(spec, Start):
            source = {"p": p, "g": g}.get(spec.name)
            found[name] = torch.full_like(p, hypers[spec.name]) if source is None else source.clone()
        elif isinstance(spec, Scalar):
            found[name] = float(hypers[spec.value] if isinstance(spec.value, str) else spec.value)
        else:
            found[name] = torch.full_like(p, spec)
    return found


def interpret(
    graph: Graph, p: Tensor, g: Tensor, states: Mapping[str, Any], hypers: Mapping[str, Any], t: int, *, first: bool
) -> tuple[Tensor, dict[str, Any]]:
    """One step; a reduction per group or over all sees this tensor only."""
    kernel = plain.run(graph, p, g, states, hypers, t, dict.fromkeys(graph.first_groups, first))
    answer: Any = None
    while True:
        try:
            asked: Partial = kernel.send(answer)
        except StopIteration as done:
            new_p, new = done.value
            return new_p, new
        answer = finished(asked.kind, asked.amount, asked.count)


def walk(rule: Rule, p: Tensor, grads: list[Tensor], **hypers: Any) -> tuple[Tensor, dict[str, Any]]:
    """Where p and the states are after a step with each gradient."""
    values = {"lr": 0.1, **rule.hypers, **hypers}
    graph = Graph(rule, values)
    states = started(rule, graph, p, grads[0], values)
    for t, g in enumerate(grads, start=1):
        p, states = interpret(graph, p, g, states, values, t, first=t == 1)
    return p, states


def tensors(count: int, *shape: int) -> list[Tensor]:
    """Random normal float64 tensors, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(count)]
