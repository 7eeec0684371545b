"""Gathering: from parameter groups to buckets. All refusals of a step happen here, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.states import Scalar
from zerograd.algebra.tracing import Graph, is_static
from zerograd.engine.buckets import Bucket, DifferentiableBucket, SparseBucket, compute_dtype, started
from zerograd.engine.programs import Program

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

# On a CPU an operation on a list is a loop over it. Lists this long stay in the cache from one operation to the next.
CPU_ELEMENTS = 262_144


class Gathering:
    """The buckets of one step, and the numbers per parameter that were read for it."""

    def __init__(self, optimizer: RuleOptimizer) -> None:
        self.optimizer = optimizer
        self.buckets: list[Bucket] = []
        self._steps: list[tuple[list[Tensor], list[float]]] = []
        self._new_states: list[tuple[Tensor, str, Bucket, int]] = []
        programs: list[tuple[int, list[Tensor], dict[str, Any], Program]] = []
        for index, group in enumerate(optimizer.param_groups):
            live = [p for p in group["params"] if p.grad is not None]
            if live:
                hypers = optimizer._hypers(group)
                program = optimizer._programs(group).find(hypers)
                programs.append((index, live, hypers, program))
        self._check([(index, hypers, program.graph) for index, _, hypers, program in programs])
        for _, live, hypers, _ in programs:
            _check_tensors(optimizer, live, hypers)
        for index, live, hypers, program in programs:
            self._gather(index, live, hypers, program)

    def _check(self, groups: Sequence[tuple[int, Mapping[str, Any], Graph]]) -> None:
        """What must be alike in all groups: hyper-parameters behind a state that is one in all, and its reductions."""
        name = type(self.optimizer).__name__
        for shared in {s for _, _, graph in groups for s in graph.shared}:
            found = {repr(_comparable(hypers[shared])): index for index, hypers, _ in groups}
            if len(found) > 1:
                raise ValueError(
                    f"{name}: {shared} must be the same in every parameter group, because one estimate serves all of "
                    f"them; it is {' and '.join(found)}"
                )
        if len({graph.over_all for *_, graph in groups}) > 1:
            raise ValueError(
                f"{name}: the flags of the parameter groups differ, but one reduction runs over all groups"
            )

    def _gather(self, index: int, live: list[Tensor], hypers: Mapping[str, Any], program: Program) -> None:
        """Sort the parameters of a group into buckets."""
        optimizer, graph = self.optimizer, program.graph
        counting = graph.reads_t or optimizer.keeps_step
        states = [optimizer.state[p] if counting or graph.states else {} for p in live]  # none for plain SGD
        counts = [0.0] * len(live)
        if counting:
            counts = optimizer._column("step").read(live, states, 0.0)
            self._steps.append((live, counts))
        columns = {
            name: optimizer._column(name).read(live, states, _initial(spec, hypers))
            for name, spec in graph.scalar_states.items()
            if spec.per == "tensor"
        }
        late = [name for name in columns if name in graph.late_states]
        # What host numbers are computed from: buckets hold parameters that have them all in common.
        numbers = [values for name, values in columns.items() if name not in late]
        cohorts = list(zip(*([counts] if graph.reads_t else []), *numbers, strict=True)) or [()] * len(live)
        found: dict[tuple[Any, ...], Bucket] = {}
        for at, (p, state) in enumerate(zip(live, states, strict=True)):
            g = p.grad
            assert g is not None
            held = [state.get(name) for name in graph.tensor_states]
            kind, g = self._kind(g, graph)
            dtypes = [None if tensor is None else tensor.dtype for tensor in held]
            key = (p.dtype, g.dtype, p.device, type(p), *dtypes, *cohorts[at])
            bucket = found.get(key)
            if bucket is None or kind is not Bucket or bucket.elements >= CPU_ELEMENTS:
                numbers_here = {name: values[at] for name, values in columns.items()}
                bucket = found[key] = self._bucket(kind, index, hypers, program, p, held, counts[at] + 1, numbers_here)
            bucket.params.append(p)
            bucket.elements += p.numel() if p.device.type == "cpu" else 0
            bucket.grads.append(g)
            for name, tensor in zip(graph.tensor_states, held, strict=True):
                if tensor is None or kind is DifferentiableBucket:
                    self._new_states.append((p, name, bucket, len(bucket.states[name])))
                if tensor is not None and tensor.shape != p.shape:
                    raise RuntimeError(
                        f"{type(optimizer).__name__}: state {name!r} has shape {tuple(tensor.shape)}, its parameter "
                        f"{tuple(p.shape)}; assign a tensor like the parameter, or delete the state to start it anew"
                    )
                if tensor is None:
                    tensor = started(graph.states[name], p, _start_gradient(p, g, bucket.maximize), hypers)
                bucket.states[name].append(tensor)
            for name in late:
                bucket.scalars[name].append(columns[name][at])

    def _bucket(
        self, kind: type[Bucket], index: int, hypers: Mapping[str, Any], program: Program,
        p: Tensor, held: list[Tensor | None], t: float, numbers: Mapping[str, float],
    ) -> Bucket:  # fmt: skip
        """An empty bucket for parameters like p, whose states are ``held`` (None where one does not exist yet)."""
        graph = program.graph
        group = self.optimizer.param_groups[index]
        absent = {name for name, tensor in zip(graph.tensor_states, held, strict=True) if tensor is None}
        assert p.grad is not None
        dtype = compute_dtype(p.dtype, p.grad.dtype, *(tensor.dtype for tensor in held if tensor is not None))
        first = tuple(not absent.isdisjoint(names) for names in graph.first_groups)
        bucket = kind(program, index, hypers, p.device, dtype, t, first, bool(group.get("maximize", False)))
        for name, spec in graph.scalar_states.items():
            if spec.per != "tensor":  # one in all: a group that was added later joins in what the others have
                holders = [group] if spec.per == "group" else self.optimizer.param_groups
                bucket.scalars[name] = next((h[name] for h in holders if name in h), _initial(spec, hypers))
            else:
                bucket.scalars[name] = [] if name in graph.late_states else numbers[name]
        bucket.states.update({name: [] for name in graph.tensor_states})
        self.buckets.append(bucket)
        return bucket

    def _kind(self, g: Tensor, graph: Graph) -> tuple[type[Bucket], Tensor]:
        """Which kind of bucket serves a gradient, and the gradient as it takes it."""
        if self.optimizer.defaults.get("differentiable"):
            return DifferentiableBucket, g
        if g.layout == torch.strided:
            return Bucket, g
        if self.optimizer.sparse == "rows" or not graph.tensor_states:
            return SparseBucket, g
        return Bucket, g.to_dense()  # every element's state moves, with or without a gradient

    def keep(self) -> None:
        """After all kernels: count the steps, put new states and scalar states where they belong."""
        optimizer = self.optimizer
        for p, name, bucket, at in self._new_states:
            optimizer.state[p][name] = bucket.states[name][at]
        for params, counts in self._steps:
            optimizer._column("step").write(params, [count + 1 for count in counts])
        for bucket in self.buckets:
            for name, value in bucket.new_scalars.items():
                spec = bucket.program.graph.scalar_states[name]
                if spec.per == "tensor":
                    optimizer._column(name).write(bucket.params, _numbers(value, len(bucket.params)))
                else:
                    own = [optimizer.param_groups[bucket.group_index]]
                    for group in own if spec.per == "group" else optimizer.param_groups:
                        group[name] = _kept(value)


def _start_gradient(p: Tensor, g: Tensor, maximize: bool) -> Tensor:
    """The gradient as a state may start with it: dense, and negated where the rule sees it negated."""
    dense = (g.to_dense() if g.layout != torch.strided else g).to(p.dtype)
    return -dense if maximize else dense


def _comparable(value: Any) -> Any:
    """A hyper-parameter as it counts: 1 is 1.0, a list is a tuple, a tensor is its number."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_comparable, value))
    return value if is_static(value) else float(value)


def _initial(spec: Scalar, hypers: Mapping[str, Any]) -> float:
    value = hypers[spec.value] if isinstance(spec.value, str) else spec.value
    return float(value.detach() if isinstance(value, Tensor) else value)


def _numbers(value: Any, count: int) -> list[float]:
    if isinstance(value, Tensor):
        return [float(x) for x in value.expand(count).tolist()]
    return value if isinstance(value, list) else [value] * count


def _kept(value: Any) -> Any:
    """A number where that costs nothing; on an accelerator a tensor, so that no step waits for the device."""
    return value.item() if isinstance(value, Tensor) and value.device.type == "cpu" else value


def _check_tensors(optimizer: RuleOptimizer, live: Sequence[Tensor], hypers: Mapping[str, Any]) -> None:
    name = type(optimizer).__name__
    for p in live:
        g = p.grad
        assert g is not None
        if g.layout != torch.strided and optimizer.sparse is None:
            raise RuntimeError(f"{name} does not support sparse gradients, please consider SparseAdam instead")
        if g.layout != torch.strided and hypers.get("weight_decay", 0.0) != 0:
            raise RuntimeError(f"{name}: weight_decay option is not compatible with sparse gradients; set it to 0")
        if p.device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            raise RuntimeError(
                f"{name}: a step computes its scalars on the host and can't be captured in a CUDA graph; "
                "capture forward and backward, and call step() outside"
            )
