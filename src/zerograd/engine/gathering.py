"""Gathering: from parameter groups to buckets. All refusals of a step happen here, before anything is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.graph import REDUCTIONS
from zerograd.algebra.notation import Scalar
from zerograd.algebra.tracing import Graph
from zerograd.engine.buckets import Bucket, DifferentiableBucket, SparseBucket, compute_dtype, started
from zerograd.engine.programs import Program

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


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
        for index, live, hypers, program in programs:
            _check_tensors(optimizer, live, hypers)
            self._gather(index, live, hypers, program)

    def _check(self, groups: Sequence[tuple[int, Mapping[str, Any], Graph]]) -> None:
        """What must be alike in all groups: hyper-parameters behind a state that is one in all, and its reductions."""
        name = type(self.optimizer).__name__
        for shared in {s for _, _, graph in groups for s in graph.shared}:
            found = {repr(hypers[shared]): index for index, hypers, _ in groups}
            if len(found) > 1:
                raise ValueError(
                    f"{name}: {shared} must be the same in every parameter group, because one estimate serves all of "
                    f"them; it is {' and '.join(found)}"
                )
        over_all = {
            tuple(n.op for n in graph.nodes if n.op in REDUCTIONS and n.args[1] == "all") for *_, graph in groups
        }
        if len(over_all) > 1:
            raise ValueError(
                f"{name}: the flags of the parameter groups differ, but one reduction runs over all groups"
            )

    def _gather(self, index: int, live: list[Tensor], hypers: Mapping[str, Any], program: Program) -> None:
        optimizer, graph = self.optimizer, program.graph
        group = optimizer.param_groups[index]
        counts = [0.0] * len(live)
        if graph.reads_t or optimizer.keeps_step:
            counts = optimizer._column("step").read(live, optimizer.state, 0.0)
            self._steps.append((live, counts))
        columns = {
            name: optimizer._column(name).read(live, optimizer.state, _initial(spec, hypers))
            for name, spec in graph.scalar_states.items()
            if spec.per == "tensor"
        }
        shared = {
            name: group.get(name, _initial(spec, hypers))
            for name, spec in graph.scalar_states.items()
            if spec.per != "tensor"
        }
        late = {name for name in graph.scalar_states if graph.new[name].late}
        host = [name for name in columns if name not in late]
        found: dict[tuple[Any, ...], Bucket] = {}
        for at, p in enumerate(live):
            g = p.grad
            assert g is not None
            state = optimizer.state[p]
            absent = [name for name in graph.tensor_states if state.get(name) is None]
            present = [state[name].dtype for name in graph.tensor_states if name not in absent]
            first = tuple(any(name in absent for name in names) for names in graph.first_groups)
            dtype = compute_dtype(p.dtype, g.dtype, *present)
            t = counts[at] + 1
            kind, g = self._kind(g, graph)
            key = (
                p.device,
                dtype,
                t if graph.reads_t else None,
                first,
                *(columns[name][at] for name in host),
                type(p),
            )
            bucket = found.get(key) if kind is Bucket else None
            if bucket is None:
                bucket = kind(program, index, hypers, p.device, dtype, t, first, bool(group.get("maximize", False)))
                bucket.scalars.update(shared)
                bucket.scalars.update({name: columns[name][at] for name in host})
                bucket.scalars.update({name: [] for name in columns if name in late})
                bucket.states.update({name: [] for name in graph.tensor_states})
                self.buckets.append(bucket)
                if kind is Bucket:
                    found[key] = bucket
            self._add(bucket, p, g, state, absent, hypers)
            for name in columns:
                if name in late:
                    bucket.scalars[name].append(columns[name][at])

    def _kind(self, g: Tensor, graph: Graph) -> tuple[type[Bucket], Tensor]:
        """Which kind of bucket serves a gradient, and the gradient as it takes it."""
        if self.optimizer.defaults.get("differentiable"):
            return DifferentiableBucket, g
        if g.layout == torch.strided:
            return Bucket, g
        if self.optimizer.sparse == "rows" or not graph.tensor_states:
            return SparseBucket, g
        return Bucket, g.to_dense()  # every element's state moves, with or without a gradient

    def _add(
        self,
        bucket: Bucket,
        p: Tensor,
        g: Tensor,
        state: Mapping[str, Any],
        absent: list[str],
        hypers: Mapping[str, Any],
    ) -> None:
        graph = bucket.program.graph
        bucket.params.append(p)
        bucket.grads.append(g)
        for name in graph.tensor_states:
            if name in absent:
                start_g = (g.to_dense() if g.layout != torch.strided else g).to(p.dtype)
                tensor = started(graph.states[name], p, -start_g if bucket.maximize else start_g, hypers)
            else:
                tensor = state[name]
            if name in absent or isinstance(bucket, DifferentiableBucket):
                self._new_states.append((p, name, bucket, len(bucket.states[name])))
            bucket.states[name].append(tensor)

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


def _initial(spec: Scalar, hypers: Mapping[str, Any]) -> float:
    return float(hypers[spec.value] if isinstance(spec.value, str) else spec.value)


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
