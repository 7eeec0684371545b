"""Buckets: the tensors that one kernel call serves, and what goes into and out of the call.

A bucket holds parameters of one group that share device, dtype of computation, step number and scalar states, so that
every host number is the same for all of them. Complex tensors take part as pairs of real numbers, half-precision ones
as float32 copies that are rounded once, when they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zerograd.algebra.states import Part, Scalar, Start, StateSpec
from zerograd.engine import admission
from zerograd.engine.coding import Coding
from zerograd.engine.dtensors import whole
from zerograd.engine.programs import Program
from zerograd.formats.stochastic import rounded
from zerograd.kernels.eager import plain
from zerograd.kernels.reducing import Kernel, accumulator_dtype

# On a CPU an operation on a list is a loop over it. Lists this long stay in the cache from one operation to the next.
CPU_ELEMENTS = 262_144


def as_real(tensor: Tensor) -> Tensor:
    """A complex tensor seen as pairs of real numbers, any other as it is; of a lazily conjugated one a copy."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def started(spec: StateSpec, p: Tensor, g: Tensor, hypers: Mapping[str, Any]) -> Tensor:
    """A tensor state as it is before its first step: in the parameter's shape, dtype and layout."""
    if isinstance(spec, Start) and spec.name in ("p", "g"):
        source = p if spec.name == "p" else g
        return torch.empty_like(p, requires_grad=False).copy_(source)  # with its history, if that is recorded
    value = hypers[spec.name] if isinstance(spec, Start) else spec
    assert not isinstance(value, (Start, Scalar, Part))
    value = value.detach() if isinstance(value, Tensor) else value
    state = torch.zeros_like(p, requires_grad=False)
    if float(value) != 0:
        as_real(state).fill_(float(value))  # as torch: both parts of a complex number
    return state


def compute_dtype(*dtypes: torch.dtype) -> torch.dtype:
    """What a step is computed in: float64 if any tensor is, else float32."""
    doubles = (torch.float64, torch.complex128)
    return torch.float64 if any(d in doubles for d in dtypes) else torch.float32


@dataclass
class Bucket:
    """One kernel call. ``scalars``: the values of the scalar states; ``new_scalars``: what they became.

    elements: how many the parameters have together, counted on a CPU only. noise_keys: of each parameter, if they are
    rounded stochastically. coding: how states are stored that are no tensors of a dtype as torch has it.
    """

    program: Program
    group_index: int
    hypers: Mapping[str, Any]
    device: torch.device
    dtype: torch.dtype
    t: float
    first: tuple[bool, ...]
    maximize: bool
    params: list[Tensor] = field(default_factory=list)
    grads: list[Tensor] = field(default_factory=list)
    states: dict[str, list[Tensor]] = field(default_factory=dict)
    scalars: dict[str, Any] = field(default_factory=dict)
    new_scalars: dict[str, Any] = field(default_factory=dict)
    elements: int = 0
    factors: Mapping[int, Any] = field(default_factory=dict)
    noise_keys: list[int] = field(default_factory=list)
    coding: Coding | None = None

    def squares(self) -> dict[int, Any]:
        """The sum of the squares of all gradients, by group: a float on a CPU, else 0-dim, on their device."""
        dense = [g.coalesce().values() if g.layout != torch.strided else g for g in self.grads]
        precise = accumulator_dtype(self.device, self.dtype)
        each = [as_real(g.detach()).to(precise).square().sum() for g in dense]
        total = whole(torch.stack(each).sum())
        return {self.group_index: total.item() if self.device.type == "cpu" else total}

    def run(self) -> Kernel:
        """Compute and store; asks for reductions that span more than this bucket on the way."""
        with nullcontext() if self.coding is None else self.opened(self.coding):
            yield from self.compute()

    @contextmanager
    def opened(self, coding: Coding) -> Iterator[None]:
        """The states as plain tensors for as long as a step takes; what it made of them is stored at its end."""
        stored, self.states = self.states, coding.opened(self.states)
        try:
            yield
            coding.close(stored, self.states, int(self.t))
        finally:
            self.states = stored

    def compute(self) -> Kernel:
        """The step, on states that are plain tensors."""
        program, dtype = self.program, self.dtype
        params, grads = _real(self.params), _in(dtype, _real(self.grads))
        factor = self.factors.get(self.group_index, 1.0)
        if isinstance(factor, Tensor):
            grads = list(torch._foreach_mul(grads, factor.to(self.device, dtype)))
        elif factor != 1.0:
            grads = list(torch._foreach_mul(grads, factor))
        if self.maximize:
            grads = list(torch._foreach_neg(grads))
        stored = {name: _real(tensors) for name, tensors in self.states.items()}
        work = {name: _in(dtype, tensors) for name, tensors in stored.items()}
        late = {name: self._late(name) for name in program.graph.late_states}
        host = program.prelude(self.hypers, self.t, self.first, self.scalars)
        limit = torch.finfo(dtype).max
        fitting = tuple(x if -limit <= x <= limit else x * math.inf for x in host)  # beyond it: infinite, nan stays
        self.new_scalars = {name: host[place] for name, place in program.prelude.new.items()}
        new_p, new = yield from program.foreach.run(_in(dtype, params), grads, work, late, fitting, dtype)
        if self.noise_keys and params[0].dtype == torch.bfloat16:
            new_p = [rounded(x, key, p) for x, key, p in zip(new_p, self.noise_keys, params, strict=True)]
        store([params, *stored.values()], [new_p, *(new[name] for name in stored)])
        self.new_scalars.update({name: new[name] for name in late})

    def results(self) -> list[tuple[str, int, list[Tensor], Any]]:
        """The scalar states' new values: name, group, parameters, and one number or one for each parameter."""
        return [(name, self.group_index, self.params, value) for name, value in self.new_scalars.items()]

    def _late(self, name: str) -> Tensor:
        """A scalar state that hangs on a reduction, on the device: 0-dim, or one number a tensor."""
        dtype = accumulator_dtype(self.device, self.dtype)
        return torch.as_tensor(self.scalars[name], dtype=dtype, device=self.device)


def _real(tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, all of one dtype, as real ones: the very list if they are."""
    return [as_real(t) for t in tensors] if tensors[0].is_complex() else tensors


def _in(dtype: torch.dtype, tensors: list[Tensor]) -> list[Tensor]:
    """The tensors, all of one dtype, in the dtype of the computation: the very list if they have it."""
    return tensors if tensors[0].dtype == dtype else [t.to(dtype) for t in tensors]


def store(targets: list[list[Tensor]], results: list[Any]) -> None:
    """Put the results into the tensors that they belong to, where they are not there already.

    A result may be the list of another target (a state that becomes the old parameter): it is copied first.
    """
    moved = [(target, result) for target, result in zip(targets, results, strict=True) if target is not result]
    safe = [[x.clone() for x in r] if any(r is t for t in targets) else r for _, r in moved]
    for (target, _), result in zip(moved, safe, strict=True):
        torch._foreach_copy_(target, result)


@dataclass
class DifferentiableBucket(Bucket):
    """One parameter, computed out of place so that autograd can go through the step; states keep their history.

    histories: scalar states that autograd knows, after the step.
    """

    histories: dict[str, Tensor] = field(default_factory=dict)

    def compute(self) -> Kernel:
        graph = self.program.graph
        (p,), (g,) = self.params, self.grads
        factor = self.factors.get(self.group_index)
        g = g if factor is None else g * factor
        g = -g if self.maximize else g
        states: dict[str, Any] = {name: as_real(tensors[0]) for name, tensors in self.states.items()}
        states.update({n: v[0] if isinstance(v, list) else v for n, v in self.scalars.items()})
        first = dict(zip(graph.first_groups, self.first, strict=True))
        old_p = as_real(p).clone()  # backward may need it, and p itself is about to be overwritten
        new_p, new = yield from plain.run(graph, old_p, as_real(g), states, self.hypers, self.t, first)
        p.copy_(torch.view_as_complex(new_p) if p.is_complex() else new_p)
        for name in self.states:
            complex_state = self.states[name][0].is_complex()
            self.states[name] = [torch.view_as_complex(new[name]) if complex_state else new[name]]
        found = {name: new[name] for name, spec in graph.scalar_states.items() if spec.per == "tensor"}
        self.histories = {n: x for n, x in found.items() if isinstance(x, Tensor) and x.requires_grad}
        self.new_scalars = {name: _as_number(new[name], graph.scalar_states[name]) for name in graph.scalar_states}


@dataclass
class LinearBucket(Bucket):
    """Parameters to which only a multiple of the gradient is added, as plain SGD does: one operation takes them all,
    however they lie, sparse gradients too."""

    def compute(self) -> Kernel:
        host = self.program.prelude(self.hypers, self.t, self.first, self.scalars)
        assert self.program.slope is not None
        factor = self.factors.get(self.group_index, 1.0) * (-1.0 if self.maximize else 1.0)
        torch._foreach_add_(self.params, self.grads, alpha=float(host[self.program.slope] * factor))
        yield from ()

    @staticmethod
    def serves(program: Program, params: Sequence[Tensor], grads: Sequence[Tensor]) -> bool:
        """Whether these may be moved so. Not where numbers would be rounded to 16 bits on the way, and not views
        through a negation, which can't be changed in lists. torch adds a coalesced sparse tensor to a tensor that does
        not begin with its storage (2.13: twice as far from the storage's begin) in a wrong place."""
        return (
            program.slope is not None
            and all(admission.is_common(kind) for kind in set(map(type, params)))
            and all(p.dtype in _WIDE and p.dtype == g.dtype for p, g in zip(params, grads, strict=True))
            and all(g.layout == torch.strided or p.storage_offset() == 0 for p, g in zip(params, grads, strict=True))
            and not any(not p.is_cpu or p.is_neg() or p.is_conj() or p.is_inference() for p in params)
        )


_WIDE = {torch.float32, torch.float64, torch.complex64, torch.complex128}


def _as_number(value: Any, spec: Scalar) -> Any:
    number = value.item() if isinstance(value, Tensor) else value
    return [number] if spec.per == "tensor" else number


@dataclass
class SparseBucket(Bucket):
    """One parameter with a sparse gradient: the rule runs on the rows that the gradient touches, on nothing else."""

    def compute(self) -> Kernel:
        (p,), (g,) = self.params, self.grads
        p = p.detach()
        g = g.coalesce()
        index = tuple(g._indices())
        whole = [p, *(tensors[0] for tensors in self.states.values())]
        parts = [t.index_select(0, index[0]) if len(index) == 1 else t[index] for t in whole]
        rows = Bucket(
            self.program, self.group_index, self.hypers, self.device, self.dtype, self.t, self.first, self.maximize,
            params=parts[:1],
            grads=[g._values()],
            states={name: [part] for name, part in zip(self.states, parts[1:], strict=True)},
            scalars=self.scalars,
            factors=self.factors,
            noise_keys=self.noise_keys,
        )  # fmt: skip
        yield from rows.run()
        for t, (part,) in zip(whole, (rows.params, *rows.states.values()), strict=True):
            if len(index) == 1:
                t.index_copy_(0, index[0], part)
            else:
                t[index] = part
        self.new_scalars = rows.new_scalars


def start_gradient(p: Tensor, g: Tensor, maximize: bool) -> Tensor:
    """The gradient as a state may start with it: dense, and negated where the rule sees it negated."""
    dense = (g.to_dense() if g.layout != torch.strided else g).to(p.dtype)
    return -dense if maximize else dense
