"""Buckets of whole matrices: parameters of one shape, handed to a matrix rule as one stack.

A rule on stacks is called once for many small matrices, where the time would go into the calls. A large one stands
alone: then the stack is the parameter itself, seen with one dimension more, and nothing is copied. Half-precision
tensors take part as float32 copies that are rounded once, when they are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from zerograd.algebra.states import Part
from zerograd.engine import admission
from zerograd.engine.buckets import Bucket
from zerograd.engine.programs import MatrixProgram, Program
from zerograd.formats.stochastic import rounded
from zerograd.kernels.reducing import Kernel

SMALL = 65_536
"""Elements up to which a parameter is copied into a stack: beyond, its own work outweighs what a call costs."""


@dataclass
class MatrixBucket(Bucket):
    """One call of a matrix rule. states: those that parameters of this shape have. seed: of the noise of rounding."""

    program: MatrixProgram
    seed: int = 0

    def started(self, name: str, g: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A state before its first step: as torch's, in the dtype of the gradient."""
        spec = self.program.graph.states[name]
        if isinstance(spec, Part):
            return g.new_zeros(shape)
        assert isinstance(spec, (int, float))
        return torch.full_like(g, spec, requires_grad=False)

    def run(self) -> Kernel:
        """Compute and store, without asking for anything."""
        yield from ()
        if not self.params[0].numel():
            return
        hypers = {name: _number(value) for name, value in self.hypers.items()}
        supplied = {"t": self.t, "lr": hypers.get("lr"), "dtype": self.params[0].dtype}
        hypers.update({name: supplied[name] for name in self.program.rule.own.supplied})
        hypers = {n: v for n, v in hypers.items() if n in (*self.program.rule.hypers, *self.program.rule.own.supplied)}
        g = self._scaled(self._stacked(self.grads))
        columns = [self.params, *self.states.values()]
        stacks = [self._stacked(tensors) for tensors in columns]
        states = dict(zip(self.states, stacks[1:], strict=True))
        self.program.rule(g, stacks[0], *(states.get(name) for name in self.program.graph.tensor_states), **hypers)
        if self.noise_keys and self.params[0].dtype == torch.bfloat16:
            each = zip(stacks[0], self.noise_keys, self.params, strict=True)
            stacks[0] = torch.stack([rounded(x, key, p) for x, key, p in each])
        for tensors, stack in zip(columns, stacks, strict=True):
            if len(tensors) > 1 or stack.data_ptr() != tensors[0].data_ptr():
                torch._foreach_copy_([t.detach() for t in tensors], list(stack.unbind()))

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensors in one, in the dtype of the computation: a view, if it is only one that has it."""
        stack = tensors[0].detach()[None] if len(tensors) == 1 else torch.stack([t.detach() for t in tensors])
        return stack.to(self.dtype)

    def _scaled(self, g: Tensor) -> Tensor:
        """The gradients as the rule sees them; those of the parameters are left as they are."""
        factor = self.factors.get(self.group_index, 1.0)
        if isinstance(factor, Tensor):
            g = g * factor.to(self.device, self.dtype)
        elif factor != 1.0:
            g = g * factor
        return -g if self.maximize else g


def shape_of(program: Program, name: str, p: Tensor) -> tuple[int, ...] | None:
    """The shape of a state of a parameter; None if this parameter has none of it."""
    spec = program.graph.states[name]
    return spec.shape(tuple(p.shape)) if isinstance(spec, Part) else p.shape


def stackable(params: Sequence[Tensor]) -> list[bool]:
    """Whether each parameter may be copied into a stack and back: a small one, in memory that no other one shares."""
    plain = [type(p) in (Tensor, torch.nn.Parameter) and p.numel() <= SMALL for p in params]
    spans = [one for at, p in enumerate(params) for one in admission.reach(p, at)]
    shared = admission.overlapping(spans, []) if any(plain) else set()
    return [small and at not in shared for at, small in enumerate(plain)]


def _number(value: Any) -> Any:
    """A hyper-parameter as a plain number, also inside a tuple."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_number, value))
    return value.item() if isinstance(value, Tensor) else value
