"""One rule run twice on the same numbers: printed as foreach calls inside an optimizer, and by the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from algebra.running import started
from zerograd import from_rule
from zerograd.algebra import Graph, Rule
from zerograd.algebra.states import Scalar
from zerograd.engine.optimizer import RuleOptimizer
from zerograd.engine.stepping import run
from zerograd.kernels.eager import plain
from zerograd.kernels.reducing import Kernel

Same = Callable[[str, Tensor, Tensor], None]
"""Raises unless the second tensor, called by the first argument, is what the third says."""


@dataclass
class Interpreted:
    """One parameter, interpreted: what it starts from, and after the run what came out. A bucket to the step loop."""

    graph: Graph
    group_index: int
    p: Tensor
    g: Tensor
    states: dict[str, Any]
    hypers: Mapping[str, Any]
    t: float
    first: bool
    new_p: Tensor = field(default_factory=lambda: torch.empty(0))
    new_states: dict[str, Any] = field(default_factory=dict)

    def run(self) -> Kernel:
        first = dict.fromkeys(self.graph.first_groups, self.first)
        self.new_p, self.new_states = yield from plain.run(
            self.graph, self.p, self.g, self.states, self.hypers, self.t, first
        )


class Twice:
    """An optimizer of the rule over groups of parameters, and the same computed by the interpreter.

    groups: as an optimizer takes them. compute: the dtype that the interpreter works in.
    """

    def __init__(
        self, rule: Rule, groups: list[dict[str, Any]], same: Same, compute: torch.dtype, **hypers: Any
    ) -> None:
        self._same, self._compute = same, compute
        self.optimizer: RuleOptimizer = from_rule(rule, name="Twice", lr=0.5)(groups, **hypers)
        self._steps = 0

    def step(self) -> None:
        """One step of the optimizer, held to the interpreter's: parameters, states; and gradients stay as they are."""
        self._steps += 1
        cases = list(self._cases())
        grads = [p.grad.clone() for p, _ in cases if p.grad is not None]
        run([case for _, case in cases])  # type: ignore[misc]  # they have all that the loop asks of a bucket
        self.optimizer.step()
        for (p, case), g in zip(cases, grads, strict=True):
            assert p.grad is not None
            assert torch.equal(p.grad, g), "the gradient has changed"
            self._same("p", p.detach(), case.new_p)
            for name, value in case.new_states.items():
                self._same(name, as_tensor(self._stored(p, case, name)), as_tensor(value))

    def scramble(self, numbers: Callable[[Any], Tensor]) -> None:
        """Other numbers, of this shape each, in every parameter and state."""
        for group in self.optimizer.param_groups:
            for name, spec in self.optimizer.rule.states.items():
                if isinstance(spec, Scalar) and spec.per == "group" and name in group:
                    group[name] = float(numbers(()))
            for p in group["params"]:
                held = {k: v for k, v in self.optimizer.state[p].items() if k != "step"}
                for tensor in (p.detach(), *held.values()):
                    tensor.copy_(numbers(tensor.shape))

    def _cases(self) -> Iterator[tuple[Tensor, Interpreted]]:
        for index, group in enumerate(self.optimizer.param_groups):
            hypers = self.optimizer._hypers(group)
            graph = self.optimizer._programs(group).find(hypers).graph
            for p in group["params"]:
                if p.grad is None:
                    continue
                own, exact = p.detach().to(self._compute, copy=True), p.grad.to(self._compute)
                g = -exact if group["maximize"] else exact
                states = started(self.optimizer.rule, graph, own, g, hypers)
                held = {**{k: v for k, v in group.items() if k in states}, **self.optimizer.state.get(p, {})}
                first = any(name not in held for name in graph.tensor_states)
                for name in states.keys() & held.keys():
                    tensor = name in graph.tensor_states
                    states[name] = held[name].to(self._compute, copy=True) if tensor else float(held[name])
                yield p, Interpreted(graph, index, own, g, states, hypers, self._steps, first)

    def _stored(self, p: Tensor, case: Interpreted, name: str) -> Any:
        spec = self.optimizer.rule.states[name]
        shared = isinstance(spec, Scalar) and spec.per != "tensor"
        return (self.optimizer.param_groups[case.group_index] if shared else self.optimizer.state[p])[name]


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is, a number without any rounding."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def exactly(name: str, got: Tensor, wanted: Tensor) -> None:
    """Bit for bit after one rounding to the dtype in which the value is kept; nan equals nan, -0 equals 0."""
    wanted = wanted.to(got.dtype).expand_as(got)
    if not ((got == wanted) | (got.isnan() & wanted.isnan())).all():
        raise AssertionError(f"{name}: {got.tolist()} instead of {wanted.tolist()}")


def closely(rtol: float, atol: float) -> Same:
    """Within a tolerance; nan equals nan."""

    def same(name: str, got: Tensor, wanted: Tensor) -> None:
        torch.testing.assert_close(
            got, wanted.to(got.dtype).expand_as(got), rtol=rtol, atol=atol, equal_nan=True, msg=lambda m: f"{name}: {m}"
        )

    return same
