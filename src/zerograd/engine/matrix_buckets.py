"""Buckets of whole matrices: parameters of one shape, handed to a matrix rule as one stack.

A rule on stacks is called once for many small matrices, where the time would go into the calls. A large one stands
alone: then the stack is the parameter itself, seen with one dimension more, and nothing is copied. A rule on lists is
handed the very tensors: small ones of any shapes, large ones of one shape. The rule computes in the dtype of its
tensors, as torch does, half precision too: float32 copies of whole matrices are what such a rule is meant to save. Only
tensors of several dtypes, and weights that are rounded stochastically, take part as copies in a wider dtype.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from zerograd.algebra.states import Part
from zerograd.engine import admission
from zerograd.engine.buckets import CPU_ELEMENTS, Bucket, compute_dtype
from zerograd.engine.dtensors import has_dtensor, is_sharded, local, put_back, replicated, whole
from zerograd.engine.programs import MatrixProgram, Program
from zerograd.formats.stochastic import noise_key, rounded
from zerograd.kernels.reducing import Kernel

STACKED = 16_384
"""Elements up to which a parameter is copied into a stack: beyond, its own work outweighs what a call costs."""

MIXED = 131_072
"""Elements up to which parameters of any shapes are in one list: beyond, only products of equal matrices save time."""

LISTED = 4_194_304
"""Elements that a list of large matrices may have: what a rule computes on the way takes several times their memory."""


@dataclass
class MatrixBucket(Bucket):
    """One call of a matrix rule. hypers: plain numbers. states: those that parameters of this shape have.

    seed: of the noise of stochastic rounding. ordinals: the numbers of the parameters in the optimizer, if they are
    rounded so.
    """

    single_pass: ClassVar[bool] = True
    program: MatrixProgram
    seed: int = 0
    ordinals: list[int] = field(default_factory=list)
    _keywords: tuple[Any, dict[str, Any]] | None = None

    @property
    def full(self) -> bool:
        """Whether the next parameter begins another bucket.

        Large matrices in a list are as many as there are threads: each thread multiplies one, where two that share the
        products of one gain little.
        """
        if self.program.rule.lists and self.params[0].numel() > MIXED:
            return self.elements >= LISTED or len(self.params) >= torch.get_num_threads()
        return self.elements >= CPU_ELEMENTS

    def started(self, name: str, g: Tensor, shape: tuple[int, ...]) -> Tensor:
        """A state before its first step: as torch's, in the dtype of the gradient."""
        spec = self.program.graph.states[name]
        if isinstance(spec, Part):
            if is_sharded(g):  # rows and columns are small: every process has all of them
                return replicated(local(g).new_zeros(shape), g)
            return g.new_zeros(shape)
        assert isinstance(spec, (int, float))
        return torch.full_like(g, spec, requires_grad=False)

    def run(self) -> Kernel:
        """As ``launch``; a step in which other buckets ask for reductions takes it so."""
        yield from ()
        self.launch()

    def launch(self) -> None:
        """Compute and store."""
        if not self.elements:
            return
        enabled = torch.is_grad_enabled()
        torch._C._set_grad_enabled(False)
        try:
            if self.coding is None:
                self._run()
            else:
                with self.opened(self.coding):
                    self._run()
        finally:
            torch._C._set_grad_enabled(enabled)

    def _run(self) -> None:
        targets, grads = [self.params, *self.states.values()], self.grads
        sharded = has_dtensor(self.params[0])  # it is alone
        parts: list[list[Tensor]] = []
        if sharded and any(is_sharded(tensor) for tensors in (*targets, grads) for tensor in tensors):
            parts, targets = targets, [[whole(t) for t in tensors] for tensors in targets]
            grads = [whole(g) for g in grads]
        elif sharded:  # and every process has all of it
            targets = [[local(t) if has_dtensor(t) else t for t in tensors] for tensors in targets]
            grads = [local(g) if has_dtensor(g) else g for g in grads]
        self._compute(targets, grads, sharded)
        for tensors, results in zip(parts, targets, strict=True) if parts else ():
            for part, full in zip(tensors, results, strict=True):
                put_back(part, full)

    def _compute(self, targets: list[list[Tensor]], grads: list[Tensor], sharded: bool) -> None:
        """The rule on whole tensors, and its results into them."""
        rule, alike = self.program.rule, self._alike
        if rule.lists:
            work: list[Any] = targets if alike else [[t.to(self.dtype) for t in tensors] for tensors in targets]
            g: Any = self._scaled(grads if alike else [g.to(self.dtype) for g in grads])
        elif alike and len(self.params) == 1:
            work = [tensors[0][None] for tensors in targets]
            g = self._scaled([grads[0][None]])[0]
        else:
            work = [self._stacked(tensors) for tensors in targets]
            g = self._scaled([self._stacked(grads)])[0]
        p, *states = work
        held = dict(zip(self.states, states, strict=True))
        rule.function(g, p, *map(held.get, self.program.graph.tensor_states), **self._arguments())
        if sharded:
            torch.autograd.graph.increment_version(self.params)
        if self.ordinals:
            keys = [noise_key(self.seed, int(self.t), ordinal, 0) for ordinal in self.ordinals]
            work[0] = [rounded(x, key, one) for x, key, one in zip(p, keys, targets[0], strict=True)]
        elif alike and (rule.lists or len(self.params) == 1):
            return  # they are no copies
        for tensors, results in zip(targets, work, strict=True):
            torch._foreach_copy_(tensors, list(results))

    @property
    def _alike(self) -> bool:
        """Whether all tensors have the dtype of the computation."""
        dtype = self.dtype
        for tensors in (self.params, self.grads, *self.states.values()):  # noqa: SIM110  # all() makes a generator
            if tensors[0].dtype != dtype:
                return False
        return True

    def _arguments(self) -> dict[str, Any]:
        """What the rule is given by name."""
        if self._keywords is None or self._keywords[0] is not self.hypers:
            supplied = {"t": self.t, "dtype": self.params[0].dtype, **self.hypers}
            self._keywords = self.hypers, {name: supplied[name] for name in self.program.keywords}
        keywords = self._keywords[1]
        if "t" in keywords:
            keywords["t"] = self.t
        return keywords

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        """The tensors in one, in the dtype of the computation: a view, if it is only one that has it."""
        stack = tensors[0][None] if len(tensors) == 1 else torch.stack(tuple(tensors))
        return stack if stack.dtype == self.dtype else stack.to(self.dtype)

    def _scaled(self, grads: list[Tensor]) -> list[Tensor]:
        """The gradients as the rule sees them; those of the parameters are left as they are."""
        factor = self.factors.get(self.group_index, 1.0) if self.factors else 1.0
        if isinstance(factor, Tensor):
            factor = factor.to(self.device)
        if isinstance(factor, Tensor) or factor != 1.0:
            grads = [g * factor for g in grads]  # operations on lists would round it to 16 bits, if gradients have them
        return [-g for g in grads] if self.maximize else grads


def stack_dtype(tensors: Sequence[Tensor | None], noisy: bool) -> torch.dtype:
    """What a matrix rule computes in: the dtype of all tensors, if they have one."""
    found = {tensor.dtype for tensor in tensors if tensor is not None} - {torch.uint8}
    return compute_dtype(*found) if len(found) > 1 or (noisy and torch.bfloat16 in found) else found.pop()


def shape_of(program: Program, name: str, p: Tensor) -> tuple[int, ...] | None:
    """The shape of a state of a parameter; None if this parameter has none of it."""
    spec = program.graph.states[name]
    return spec.shape(tuple(p.shape)) if isinstance(spec, Part) else p.shape


def kin(program: MatrixProgram, p: Tensor) -> tuple[int, ...] | None:
    """The shape that all parameters in a bucket have; None if this parameter stands with those of any shape."""
    return None if program.rule.lists and p.numel() <= MIXED else tuple(p.shape)


def joined(params: Sequence[Tensor], lists: bool) -> list[bool]:
    """Whether each parameter may stand in a stack or list with others: a small one, in memory that no other shares."""
    limit = LISTED if lists else STACKED
    plain = [type(p) in (Tensor, torch.nn.Parameter) and 0 < p.numel() <= limit for p in params]
    spans = [one for at, p in enumerate(params) for one in admission.reach(p, at)]
    shared = admission.overlapping(spans, []) if any(plain) else set()
    return [small and at not in shared for at, small in enumerate(plain)]


def plain_numbers(hypers: Mapping[str, Any]) -> dict[str, Any]:
    """Hyper-parameters as plain numbers: torch takes tensors of one element too."""
    return {name: _number(value) for name, value in hypers.items()}


def _number(value: Any) -> Any:
    """A hyper-parameter as a plain number, also inside a tuple."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_number, value))
    return value.item() if isinstance(value, Tensor) else value
