"""Gathering: from parameter groups to buckets. All refusals of a step happen here, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.states import Scalar, Start
from zerograd.algebra.tracing import Graph, is_static
from zerograd.engine import admission
from zerograd.engine.buckets import Bucket, DifferentiableBucket, SparseBucket, compute_dtype, started
from zerograd.engine.kernel_buckets import CompiledBucket, Row
from zerograd.engine.matrix_buckets import MatrixBucket, plain_numbers, shape_of, stack_dtype, stackable
from zerograd.engine.programs import MatrixProgram, Program
from zerograd.engine.validation import check_tensors
from zerograd.formats.layout import Layout
from zerograd.formats.memory import span
from zerograd.formats.stochastic import WEIGHT_FORMATS, noise_key

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

# On a CPU an operation on a list is a loop over it. Lists this long stay in the cache from one operation to the next.
CPU_ELEMENTS = 262_144


@dataclass
class Share:
    """What one backend serves of one group. layouts: of each parameter, where a compiled kernel serves them."""

    index: int
    live: list[Tensor]
    hypers: Mapping[str, Any]
    program: Program
    layouts: Sequence[Layout] | None = None


class Gathering:
    """The buckets of one step, and the numbers per parameter that were read for it.

    eager: the buckets that run as operations on lists. compiled: those that have a kernel.
    """

    def __init__(self, optimizer: RuleOptimizer, without: frozenset[int] = frozenset()) -> None:
        self.optimizer = optimizer
        self.eager: list[Bucket] = []
        self.compiled: list[CompiledBucket] = []
        self._steps: list[tuple[list[Tensor], list[float]]] = []
        self._new_states: list[tuple[Tensor, str, Bucket | CompiledBucket, int]] = []
        self._found: dict[tuple[Any, ...], Any] = {}
        self._before: list[tuple[Tensor, frozenset[Any] | None]] = []
        self._started: list[tuple[Tensor, int]] = []
        self._noisy = optimizer.weight_format is not None
        everyone = (p for group in optimizer.param_groups for p in group["params"])
        self._ordinals = {id(p): i for i, p in enumerate(everyone)} if self._noisy else {}
        shares: list[Share] = []
        for index, group in enumerate(optimizer.param_groups):
            live = [p for p in group["params"] if p.grad is not None and id(p) not in without]
            if live:
                hypers = optimizer._hypers(group)
                compiled = any(p.device.type == "cpu" for p in live) and not optimizer.defaults.get("differentiable")
                shares.append(Share(index, live, hypers, optimizer._programs(group).find(hypers, whole=compiled)))
        check_alike(optimizer, [(one.index, one.hypers, one.program.graph) for one in shares])
        for one in shares:
            check_tensors(optimizer, one.live, one.hypers)
        try:
            for one in self._divided(shares):
                self._gather(one)
        except Exception:
            self.forget()
            raise
        for bucket in self.compiled:
            bucket.build()

    @property
    def ids(self) -> frozenset[int]:
        """The parameters that have a gradient, by their ids."""
        return frozenset(id(p) for bucket in self.buckets for p in bucket.params)

    @property
    def buckets(self) -> list[Bucket | CompiledBucket]:
        return [*self.compiled, *self.eager]

    def _divided(self, shares: Sequence[Share]) -> list[Share]:
        """The shares of each backend: what passes the gate goes to a compiled kernel, the rest the eager way."""
        optimizer = self.optimizer
        if optimizer.defaults.get("differentiable") or not optimizer.rule.elementwise:
            return list(shares)
        candidates: list[tuple[int, int, Layout]] = []
        written: list[tuple[int, int, int]] = []
        read: list[tuple[int, int, int]] = []
        for number, one in enumerate(shares):
            program = one.program
            for at, p in enumerate(one.live):
                held = optimizer.state.get(p, {})
                states = [(name, held.get(name)) for name in program.graph.tensor_states]
                assert p.grad is not None
                layout = admission.layout_of(p, p.grad, states, WEIGHT_FORMATS[optimizer.weight_format])
                if layout is None or program.kernel(layout) is None:
                    written += admission.reach(p, -1)
                    read += admission.reach(p.grad, -1)
                else:
                    owner = len(candidates)
                    candidates.append((number, at, layout))
                    written += [(*span(t), owner) for t in (p, *(s for _, s in states if s is not None))]
                    read.append((*span(p.grad), owner))
        refused = admission.overlapping(written, read)
        layouts = {(n, at): layout for i, (n, at, layout) in enumerate(candidates) if i not in refused}
        divided: list[Share] = []
        for number, one in enumerate(shares):
            taken = [at for at in range(len(one.live)) if (number, at) in layouts]
            left = [p for at, p in enumerate(one.live) if (number, at) not in layouts]
            if taken:
                own = [layouts[number, at] for at in taken]
                divided.append(Share(one.index, [one.live[at] for at in taken], one.hypers, one.program, own))
            if left:
                programs = optimizer._programs(optimizer.param_groups[one.index])
                divided.append(Share(one.index, left, one.hypers, programs.find(one.hypers)))
        return divided

    def _gather(self, share: Share) -> None:
        """Sort the parameters of a share into buckets."""
        optimizer, graph, live = self.optimizer, share.program.graph, share.live
        counting = counts_steps(optimizer, graph)
        self._before += [(p, frozenset(optimizer.state[p]) if p in optimizer.state else None) for p in live]
        states = [optimizer.state[p] if counting or graph.states else {} for p in live]  # none for plain SGD
        counts = [0.0] * len(live)
        if counting:
            counts = optimizer._column("step").read(live, states, 0.0)
            self._steps.append((live, counts))
        columns = {
            name: optimizer._column(name).read(live, states, initial(spec, share.hypers))
            for name, spec in graph.scalar_states.items()
            if spec.per == "tensor"
        }
        # What host numbers are computed from: buckets hold parameters that have them all in common.
        numbers = [values for name, values in columns.items() if name not in graph.late_states]
        moving = [counts] if graph.reads_t or self._noisy else []
        cohorts = list(zip(*moving, *numbers, strict=True)) or [()] * len(live)
        if isinstance(share.program, MatrixProgram):
            for p, state, count, stacked in zip(live, states, counts, stackable(live), strict=True):
                held = [state.get(name) for name in graph.tensor_states]
                self._stack(share, share.program, p, held, count + 1, stacked)
            return
        for at, (p, state) in enumerate(zip(live, states, strict=True)):
            held = [state.get(name) for name in graph.tensor_states]
            here = {name: values[at] for name, values in columns.items()}
            if share.layouts is not None:
                self._take(share, at, held, counts[at] + 1, here, cohorts[at])
            else:
                self._put(share, p, held, counts[at] + 1, here, cohorts[at])

    def _take(
        self, share: Share, at: int, held: list[Tensor | None], t: float, here: Mapping[str, Any], cohort: Any
    ) -> None:
        """Put a parameter into the compiled bucket of its layout, in the row of its numbers."""
        assert share.layouts is not None
        p, layout, graph = share.live[at], share.layouts[at], share.program.graph
        apart = share.index if graph.spans_tensors else None
        bucket = self._found.get((id(share.program), layout, apart))
        if bucket is None:
            kernel = share.program.kernel(layout)
            assert kernel is not None
            bucket = self._found[id(share.program), layout, apart] = CompiledBucket(share.program, kernel)
            self.compiled.append(bucket)
        key = (id(bucket), share.index, cohort, *(tensor is None for tensor in held))
        row = self._found.get(key)
        if row is None:
            t, first, scalars = self._numbers(share, held, t, here)
            group = self.optimizer.param_groups[share.index]
            settled = share.program.prelude.settled(share.hypers)
            maximize = bool(group.get("maximize", False))
            seed = int(group.get("noise_seed", 0))
            row = self._found[key] = Row(share.index, settled, t, first, maximize, seed, scalars)
        assert p.grad is not None
        self._join(share, p, p.grad, held, bucket, row.maximize)
        bucket.add(p, self._ordinals.get(id(p), 0), p.grad, row)
        for name in graph.late_states:
            if isinstance(row.scalars[name], list):
                row.scalars[name].append(here[name])

    def _put(
        self, share: Share, p: Tensor, held: list[Tensor | None], t: float, here: Mapping[str, Any], cohort: Any
    ) -> None:
        """Put a parameter into an eager bucket."""
        graph = share.program.graph
        assert p.grad is not None
        kind, g = self._kind(p, p.grad, graph)
        dtypes = [None if tensor is None else tensor.dtype for tensor in held]
        key = (share.index, p.dtype, g.dtype, p.device, type(p), *dtypes, *cohort)
        bucket = self._found.get(key)
        if bucket is None or kind is not Bucket or bucket.elements >= CPU_ELEMENTS:
            dtype = compute_dtype(p.dtype, g.dtype, *(tensor.dtype for tensor in held if tensor is not None))
            t, first, scalars = self._numbers(share, held, t, here)
            maximize = bool(self.optimizer.param_groups[share.index].get("maximize", False))
            bucket = kind(share.program, share.index, share.hypers, p.device, dtype, t, first, maximize)
            bucket.scalars = scalars
            bucket.states.update({name: [] for name in graph.tensor_states})
            if kind is Bucket:  # the others hold one parameter
                self._found[key] = bucket
            self.eager.append(bucket)
        bucket.params.append(p)
        bucket.elements += p.numel() if p.device.type == "cpu" else 0
        bucket.grads.append(g)
        if self._noisy:
            seed = int(self.optimizer.param_groups[share.index].get("noise_seed", 0))
            bucket.noise_keys.append(noise_key(seed, int(bucket.t), self._ordinals[id(p)], 0))
        self._join(share, p, g, held, bucket, bucket.maximize)
        for name in graph.late_states:
            if isinstance(bucket.scalars[name], list):
                bucket.scalars[name].append(here[name])

    def _stack(
        self, share: Share, program: MatrixProgram, p: Tensor, held: list[Tensor | None], t: float, stacked: bool
    ) -> None:
        """Put a whole parameter into a bucket of its shape, if it may stand in one with others."""
        g = p.grad
        assert g is not None
        dtypes = [None if tensor is None else tensor.dtype for tensor in held]
        key = (share.index, "stack", p.shape, p.dtype, g.dtype, p.device, t, *dtypes)
        bucket = self._found.get(key) if stacked else None
        if bucket is None or bucket.elements >= CPU_ELEMENTS:
            dtype, hypers = stack_dtype([p, g, *held], self._noisy), plain_numbers(share.hypers)
            group = self.optimizer.param_groups[share.index]
            maximize, seed = bool(group.get("maximize", False)), int(group.get("noise_seed", 0))
            bucket = MatrixBucket(program, share.index, hypers, p.device, dtype, t, (), maximize, seed=seed)
            bucket.states.update({n: [] for n in program.graph.tensor_states if shape_of(program, n, p) is not None})
            self.eager.append(bucket)
            if stacked:
                self._found[key] = bucket
        bucket.params.append(p)
        bucket.grads.append(g)
        bucket.elements += p.numel()
        if self._noisy and p.dtype == torch.bfloat16:
            bucket.ordinals.append(self._ordinals[id(p)])
        self._join(share, p, g, held, bucket, bucket.maximize)

    def _join(
        self, share: Share, p: Tensor, g: Tensor, held: list[Tensor | None], bucket: Bucket | CompiledBucket,
        maximize: bool,
    ) -> None:  # fmt: skip
        """Hand a parameter's states to a bucket; those that do not exist yet start here and are kept after the step."""
        graph = share.program.graph
        for name, tensor in zip(graph.tensor_states, held, strict=True):
            shape = shape_of(share.program, name, p)
            if shape is None:
                continue
            if tensor is None or isinstance(bucket, DifferentiableBucket):
                self._new_states.append((p, name, bucket, len(bucket.states[name])))
            if tensor is not None and tensor.shape != shape:
                like = "like the parameter" if shape == p.shape else f"of shape {tuple(shape)}"
                raise RuntimeError(
                    f"{type(self.optimizer).__name__}: state {name!r} has shape {tuple(tensor.shape)}, its parameter "
                    f"{tuple(p.shape)}; assign a tensor {like}, or delete the state to start it anew"
                )
            if tensor is None and isinstance(bucket, MatrixBucket):
                tensor = bucket.started(name, g, shape)
            elif tensor is None:
                tensor = started(graph.states[name], p, _start_gradient(p, g, maximize), share.hypers)
                if graph.states[name] == Start("g"):
                    self._started.append((tensor, share.index))
            bucket.states[name].append(tensor)

    def _numbers(
        self, share: Share, held: list[Tensor | None], t: float, here: Mapping[str, Any]
    ) -> tuple[float, tuple[bool, ...], dict[str, Any]]:
        """What the prelude needs besides hyper-parameters: step, which states are new, values of the scalar states."""
        graph = share.program.graph
        absent = {name for name, tensor in zip(graph.tensor_states, held, strict=True) if tensor is None}
        first = tuple(not absent.isdisjoint(names) for names in graph.first_groups)
        scalars: dict[str, Any] = {}
        for name, spec in graph.scalar_states.items():
            if spec.per != "tensor":
                scalars[name] = shared_scalar(self.optimizer, share.index, name, initial(spec, share.hypers))
            else:
                scalars[name] = [] if name in graph.late_states else here[name]
        return t, first, scalars

    def _kind(self, p: Tensor, g: Tensor, graph: Graph) -> tuple[type[Bucket], Tensor]:
        """Which kind of bucket serves a gradient, and the gradient as it takes it."""
        if self.optimizer.defaults.get("differentiable") or p.is_neg() or p.is_conj():
            # out of place: lists of negative views can't be changed in place
            return DifferentiableBucket, g if g.layout == torch.strided else g.to_dense()
        if g.layout == torch.strided:
            return Bucket, g
        if self.optimizer.sparse in ("rows", "only") or not graph.tensor_states:
            return SparseBucket, g
        return Bucket, g.to_dense()  # every element's state moves, with or without a gradient

    def forget(self) -> None:
        """Instead of the step: leave no trace of it."""
        for p, names in self._before:
            if names is None:
                self.optimizer.state.pop(p, None)
                continue
            state = self.optimizer.state[p]
            for name in state.keys() - names:
                del state[name]

    def clip_started(self) -> None:
        """States that start as the gradient start as the clipped one."""
        factors = self.buckets[0].factors if self.buckets else {}
        for tensor, index in self._started if factors else ():
            factor = factors.get(index, 1.0)
            tensor.mul_(factor.to(tensor.device) if isinstance(factor, Tensor) else factor)

    def keep(self) -> None:
        """After all kernels: count the steps, put new states and scalar states where they belong."""
        optimizer = self.optimizer
        for p, name, bucket, at in self._new_states:
            optimizer.state[p][name] = bucket.states[name][at]
        for params, counts in self._steps:
            optimizer._column("step").write(params, [count + 1 for count in counts])
        for bucket in self.buckets:
            keep_scalars(optimizer, bucket)
        written = [p for bucket in self.compiled for p in bucket.params]
        if written:
            torch.autograd.graph.increment_version(written)


def counts_steps(optimizer: RuleOptimizer, graph: Graph) -> bool:
    """Whether each parameter's steps are counted: torch does, the rule reads them, or the noise hangs on them."""
    return bool(optimizer.keeps_step) or graph.reads_t or optimizer.weight_format is not None


def keep_scalars(optimizer: RuleOptimizer, bucket: Bucket | CompiledBucket) -> None:
    """Put the scalar states' new values where they belong: a column, a group, all groups."""
    for name, index, params, value in bucket.results():
        per = bucket.program.graph.scalar_states[name].per
        if per == "tensor":
            optimizer._column(name).write(params, _numbers(value, len(params)))
        else:
            for group in [optimizer.param_groups[index]] if per == "group" else optimizer.param_groups:
                group[name] = _kept(value)


def shared_scalar(optimizer: RuleOptimizer, index: int, name: str, otherwise: float) -> Any:
    """The value of a scalar state that is one in a group or in all: a group added later joins in what others have."""
    own = optimizer.param_groups[index]
    per = optimizer._group_rule(own).states[name]
    holders = [own] if isinstance(per, Scalar) and per.per == "group" else optimizer.param_groups
    return next((h[name] for h in holders if name in h), otherwise)


def check_alike(optimizer: RuleOptimizer, groups: Sequence[tuple[int, Mapping[str, Any], Graph]]) -> None:
    """What must be alike in all groups: hyper-parameters behind a state that is one in all, and its reductions."""
    name = type(optimizer).__name__
    for shared in {s for _, _, graph in groups for s in graph.shared}:
        found = {repr(_comparable(hypers[shared])): index for index, hypers, _ in groups}
        if len(found) > 1:
            raise ValueError(
                f"{name}: {shared} must be the same in every parameter group, because one estimate serves all of "
                f"them; it is {' and '.join(found)}"
            )
    if len({graph.over_all for *_, graph in groups}) > 1:
        raise ValueError(f"{name}: the flags of the parameter groups differ, but one reduction runs over all groups")


def _start_gradient(p: Tensor, g: Tensor, maximize: bool) -> Tensor:
    """The gradient as a state may start with it: dense, and negated where the rule sees it negated."""
    dense = (g.to_dense() if g.layout != torch.strided else g).to(p.dtype)
    return -dense if maximize else dense


def _comparable(value: Any) -> Any:
    """A hyper-parameter as it counts: 1 is 1.0, a list is a tuple, a tensor is its number."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_comparable, value))
    return value if is_static(value) else float(value.detach() if isinstance(value, Tensor) else value)


def initial(spec: Scalar, hypers: Mapping[str, Any]) -> float:
    """What a scalar state starts with."""
    value = hypers[spec.value] if isinstance(spec.value, str) else spec.value
    return float(value.detach() if isinstance(value, Tensor) else value)


def _numbers(value: Any, count: int) -> list[float]:
    if isinstance(value, Tensor):
        return [float(x) for x in value.expand(count).tolist()]
    return value if isinstance(value, list) else [value] * count


def _kept(value: Any) -> Any:
    """A number where that costs nothing; on an accelerator a tensor, so that no step waits for the device."""
    return value.item() if isinstance(value, Tensor) and value.device.type == "cpu" else value
