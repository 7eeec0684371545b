"""Gathering: from parameter groups to buckets. All refusals of a step happen here, before anything is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.states import Start
from zerograd.algebra.tracing import Graph
from zerograd.engine.buckets import (
    CPU_ELEMENTS,
    Bucket,
    DifferentiableBucket,
    LinearBucket,
    SparseBucket,
    compute_dtype,
    start_gradient,
    started,
)
from zerograd.engine.coding import any_codes, coding_of, in_form
from zerograd.engine.dividing import Share, divided, eagerly, heavy
from zerograd.engine.dtensors import has_dtensor, sharded_alike
from zerograd.engine.kernel_buckets import CompiledBucket, Row
from zerograd.engine.matrix_buckets import MatrixBucket, joined, kin, plain_numbers, shape_of, stack_dtype
from zerograd.engine.programs import MatrixProgram
from zerograd.engine.recording import check_countless, is_watched
from zerograd.engine.scalar_states import (
    check_alike,
    counts_steps,
    histories_of,
    initial,
    keep_scalars,
    shared_scalar,
)
from zerograd.engine.sharding import ShardBucket
from zerograd.engine.state_formats import held_forms
from zerograd.engine.validation import check_tensors
from zerograd.formats.blocks import BlockFormat, scales_key
from zerograd.formats.plain import Format
from zerograd.formats.stochastic import noise_key

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


class Gathering:
    """The buckets of one step, and the numbers per parameter that were read for it.

    eager: the buckets that run as operations on lists. compiled: those that have a kernel; a plan can be made of the
    ``lasting`` ones, the others read copies of gradients.

    without: ids of parameters that are left out. again: whether a plan is wanted of a step of the parameters with these
    ids. quick: if it is not, small tensors go the eager way unseen.
    """

    def __init__(
        self,
        optimizer: RuleOptimizer,
        without: frozenset[int] = frozenset(),
        again: Callable[[frozenset[int]], bool] = lambda _: True,
        quick: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.eager: list[Bucket] = []
        self.compiled: list[CompiledBucket] = []
        self._steps: list[tuple[list[Tensor], list[float]]] = []
        self._new_states: list[tuple[Tensor, str, Bucket | CompiledBucket, int]] = []
        self._found: dict[tuple[Any, ...], Any] = {}
        self._before: list[tuple[Tensor, frozenset[Any] | None]] = []
        self._started: list[tuple[Tensor, int]] = []
        self._noisy_weights = optimizer.weight_format is not None
        self._noisy = optimizer._state_choices.look()
        everyone = (p for group in optimizer.param_groups for p in group["params"])
        self._ordinals = {id(p): i for i, p in enumerate(everyone)} if self._noisy else {}
        self._differentiable = bool(optimizer.defaults.get("differentiable"))
        eagerly_all = self._differentiable or is_watched()
        shares: list[Share] = []
        for index, group in enumerate(optimizer.param_groups):
            live = [(p, g) for p in group["params"] if (g := p.grad) is not None and id(p) not in without]
            if live:
                hypers = optimizer._hypers(group)
                compiled = not eagerly_all and any(p.is_cpu for p, _ in live)
                program = optimizer._programs(group).find(hypers, whole=compiled)
                choices = optimizer._state_choices.of(group, program.graph)
                shares.append(Share(index, [p for p, _ in live], [g for _, g in live], hypers, program, choices))
        self.ids = frozenset([id(p) for one in shares for p in one.live])
        """The parameters that have a gradient."""
        self.again = again(self.ids)
        """Whether a plan is to be made of this step, if it can be."""
        check_alike(optimizer, [(one.index, one.hypers, one.program.graph) for one in shares])
        for one in shares:
            check_tensors(optimizer, one.live, one.grads, one.hypers)
        try:
            if not eagerly_all and optimizer.rule.elementwise:
                eager = eagerly(optimizer, shares) if quick and not self.again else []
                shares = eager if eager and not heavy(eager) else divided(optimizer, shares)
            for one in shares:
                self._gather(one)
        except Exception:
            self.forget()
            raise
        for bucket in self.compiled:
            bucket.build()

    @property
    def buckets(self) -> list[Bucket | CompiledBucket]:
        return [*self.compiled, *self.eager]

    @property
    def lasting(self) -> list[CompiledBucket]:
        return [bucket for bucket in self.compiled if not bucket.copied]

    @property
    def passing(self) -> list[Bucket | CompiledBucket]:
        """What is gathered for this step alone."""
        return [*(bucket for bucket in self.compiled if bucket.copied), *self.eager]

    def _gather(self, share: Share) -> None:
        """Sort the parameters of a share into buckets."""
        optimizer, graph, live = self.optimizer, share.program.graph, share.live
        counting = counts_steps(optimizer, graph)
        if counting or graph.scalar_states:
            check_countless(optimizer)
        stateful = counting or bool(graph.states)  # plain SGD has none
        plain = (
            not (stateful or share.kernels or self._differentiable or self._noisy_weights)
            and optimizer.rule.elementwise
        )
        if plain and LinearBucket.serves(share.program, live, share.grads):
            self._put_all(share)
            return
        states: list[Any] = [{}] * len(live)
        if stateful:
            self._before += [(p, frozenset(optimizer.state[p]) if p in optimizer.state else None) for p in live]
            states = [optimizer.state[p] for p in live]
        counts = [0.0] * len(live)
        histories = histories_of(graph, states) if self._differentiable else []
        if counting:
            counts = optimizer._column("step").read(live, states, 0.0)
            self._steps.append((live, counts))
        columns = {
            name: optimizer._column(name).read(live, states, initial(spec, share.hypers))
            for name, spec in graph.scalar_states.items()
            if spec.per == "tensor"
        }
        for state, own in zip(states, histories, strict=False):
            state.update(own)  # the column holds its number, without its history
        # What host numbers are computed from: buckets hold parameters that have them all in common.
        numbers = [values for name, values in columns.items() if name not in graph.late_states]
        moving = [counts] if graph.reads_t or self._noisy else []
        cohorts = list(zip(*moving, *numbers, strict=True)) or [()] * len(live)
        names = graph.tensor_states
        if isinstance(share.program, MatrixProgram):
            for at, (state, stacked) in enumerate(zip(states, joined(live, share.program.rule.lists), strict=True)):
                self._stack(share, share.program, at, [state.get(name) for name in names], counts[at] + 1, stacked)
            return
        put = self._take if share.kernels else self._put
        nothing: Any = {}
        for at, state in enumerate(states):
            held = [state.get(name) for name in names] if names else _NO_STATES
            here = {name: values[at] for name, values in columns.items()} if columns else nothing
            if histories and histories[at]:
                here.update(histories[at])
            put(share, at, held, counts[at] + 1, here, cohorts[at])

    def _take(
        self, share: Share, at: int, held: Sequence[Tensor | None], t: float, here: Mapping[str, Any], cohort: Any
    ) -> None:
        """Put a parameter into the compiled bucket of its layout, in the row of its numbers."""
        p, g, kernel, graph = share.live[at], share.grads[at], share.kernels[at], share.program.graph
        apart = share.index if graph.spans_tensors else None
        bucket = self._found.get((id(share.program), id(kernel), apart, share.copied))
        if bucket is None:
            bucket = CompiledBucket(share.program, kernel, copied=share.copied)
            self._found[id(share.program), id(kernel), apart, share.copied] = bucket
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
        forms = kernel.layout.own_forms if kernel.layout.noisy or share.choices is not None else ()
        self._join(share, p, g, held, forms, bucket, row.maximize)
        bucket.add(p, self._ordinals.get(id(p), 0), g, row)
        for name in graph.late_states:
            if isinstance(row.scalars[name], list):
                row.scalars[name].append(here[name])

    def _put(
        self, share: Share, at: int, held: Sequence[Tensor | None], t: float, here: Mapping[str, Any], cohort: Any
    ) -> None:
        """Put a parameter into an eager bucket."""
        p, g, graph = share.live[at], share.grads[at], share.program.graph
        kind: type[Bucket] = Bucket
        if g.layout != torch.strided or self._differentiable or p.is_neg() or p.is_conj() or _any_lazy(held):
            kind, g = self._kind(p, g, held, graph)
        if p.is_inference() and not torch.is_inference_mode_enabled():
            raise RuntimeError(
                "Inplace update to inference tensor outside InferenceMode is not allowed: "
                f"{type(self.optimizer).__name__} holds a parameter that was made under torch.inference_mode(); "
                "call step() there too, or give the optimizer a clone"
            )
        if has_dtensor(p):
            kind, g = self._sharded(p, g, held, graph, kind)
        on_cpu = p.is_cpu
        key = (share.index, kind, p.dtype, g.dtype, on_cpu or p.device, type(p), *cohort)
        forms: Sequence[Format | None] = ()
        if held:
            key = (*key, *(None if tensor is None else tensor.dtype for tensor in held))
            forms = self._forms(share, p, held)
            if forms:
                key = (*key, *forms)
        bucket = self._found.get(key)
        if bucket is None or kind not in (Bucket, ShardBucket) or bucket.elements >= CPU_ELEMENTS:
            dtype = compute_dtype(p.dtype, g.dtype, *(tensor.dtype for tensor in held if tensor is not None))
            t, first, scalars = self._numbers(share, held, t, here)
            maximize = bool(self.optimizer.param_groups[share.index].get("maximize", False))
            bucket = kind(share.program, share.index, share.hypers, p.device, dtype, t, first, maximize)
            bucket.scalars = scalars
            bucket.states.update({name: [] for name in graph.tensor_states})
            bucket.coding = coding_of(share.program.graph, forms, self._seed(share))
            if kind is Bucket or kind is ShardBucket:  # the others hold one parameter
                self._found[key] = bucket
            self.eager.append(bucket)
        bucket.params.append(p)
        bucket.grads.append(g)
        if on_cpu:
            bucket.elements += p.numel()
        if self._noisy_weights:
            bucket.noise_keys.append(noise_key(self._seed(share), int(bucket.t), self._ordinals[id(p)], 0))
        if held:
            self._join(share, p, g, held, forms, bucket, bucket.maximize)
        for name in graph.late_states:
            if isinstance(bucket.scalars[name], list):
                bucket.scalars[name].append(here[name])

    def _put_all(self, share: Share) -> None:
        """Put the parameters of a rule that only adds the gradient into one bucket."""
        maximize = bool(self.optimizer.param_groups[share.index].get("maximize", False))
        live, dtype = share.live, compute_dtype(*{p.dtype for p in share.live})
        bucket = LinearBucket(share.program, share.index, share.hypers, live[0].device, dtype, 1.0, (), maximize)
        bucket.params, bucket.grads = live, share.grads
        self.eager.append(bucket)

    def _stack(
        self, share: Share, program: MatrixProgram, at: int, held: Sequence[Tensor | None], t: float, stacked: bool
    ) -> None:
        """Put a whole parameter into a bucket of its shape, if it may stand in one with others."""
        p, g = share.live[at], share.grads[at]
        forms = self._forms(share, p, held)
        dtypes = [None if tensor is None else tensor.dtype for tensor in held]
        key = (share.index, "stack", kin(program, p), p.dtype, g.dtype, p.device, t, *dtypes, *forms)
        bucket = self._found.get(key) if stacked else None
        if bucket is None or bucket.full:
            dtype, hypers = stack_dtype([p, g, *held], self._noisy_weights or any(forms)), plain_numbers(share.hypers)
            maximize, seed = bool(self.optimizer.param_groups[share.index].get("maximize", False)), self._seed(share)
            bucket = MatrixBucket(program, share.index, hypers, p.device, dtype, t, (), maximize, seed=seed)
            bucket.states.update({n: [] for n in program.graph.tensor_states if shape_of(program, n, p) is not None})
            self.eager.append(bucket)
            bucket.coding = coding_of(share.program.graph, forms, seed)
            if stacked:
                self._found[key] = bucket
        bucket.params.append(p)
        bucket.grads.append(g)
        bucket.elements += p.numel()
        if self._noisy_weights and p.dtype == torch.bfloat16:
            bucket.ordinals.append(self._ordinals[id(p)])
        self._join(share, p, g, held, forms, bucket, bucket.maximize)

    def _join(
        self, share: Share, p: Tensor, g: Tensor, held: Sequence[Tensor | None], forms: Sequence[Format | None],
        bucket: Bucket | CompiledBucket, maximize: bool,
    ) -> None:  # fmt: skip
        """Hand a parameter's states to a bucket; those that do not exist yet start here and are kept after the step."""
        graph = share.program.graph
        if isinstance(bucket, Bucket) and bucket.coding is not None:
            bucket.coding.ordinals.append(self._ordinals.get(id(p), 0))
        for name, tensor, form in zip_longest(graph.tensor_states, held, forms):
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
                tensor = started(graph.states[name], p, start_gradient(p, g, maximize), share.hypers)
                if graph.states[name] == Start("g"):
                    self._started.append((tensor, share.index))
            if form is not None:
                is_new = tensor.dtype != torch.uint8
                tensor, scales = in_form(tensor, form, name, self.optimizer.state.get(p, {}))
                if isinstance(form, BlockFormat) and scales is not None:
                    beside = bucket.states.setdefault(scales_key(name, form), [])
                    self._new_states += [(p, scales_key(name, form), bucket, len(beside))] if is_new else []
                    beside.append(scales)
            bucket.states[name].append(tensor)

    def _seed(self, share: Share) -> int:
        return int(self.optimizer.param_groups[share.index].get("noise_seed", 0))

    def _forms(self, share: Share, p: Tensor, held: Sequence[Tensor | None]) -> tuple[Format | None, ...]:
        """The formats of a parameter's states that are no tensors of a dtype as torch has it; empty if none is."""
        if not held or (share.choices is None and not any_codes(held)):
            return ()
        names = share.program.graph.tensor_states
        forms = held_forms(self.optimizer.state[p], p, share.choices, names, type(self.optimizer).__name__)
        return forms if any(forms) else ()

    def _numbers(
        self, share: Share, held: Sequence[Tensor | None], t: float, here: Mapping[str, Any]
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

    def _kind(self, p: Tensor, g: Tensor, held: Sequence[Tensor | None], graph: Graph) -> tuple[type[Bucket], Tensor]:
        """Which kind of bucket serves an odd parameter, and its gradient as that takes it."""
        # Out of place: autograd goes through it, and lists of negative or conjugate views can't be changed in place.
        apart = self._differentiable or _any_lazy([p, *held])
        if g.layout == torch.strided:
            return DifferentiableBucket, g
        if not apart and (self.optimizer.sparse in ("rows", "only") or not graph.tensor_states):
            return SparseBucket, g
        return DifferentiableBucket if apart else Bucket, g.to_dense()  # every element's state moves

    def _sharded(
        self, p: Tensor, g: Tensor, held: Sequence[Tensor | None], graph: Graph, kind: type[Bucket]
    ) -> tuple[type[Bucket], Tensor]:
        """The bucket of a DTensor: its own part, where every element is for itself and all lie alike."""
        parts = [p, g, *(t for t in held if t is not None)]
        if kind is Bucket and not graph.reductions and not self._noisy_weights and sharded_alike(parts):
            return ShardBucket, g
        return (DifferentiableBucket if kind is Bucket else kind), g  # DTensors lack some operations on lists

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
            if isinstance(bucket, DifferentiableBucket):
                optimizer.state[bucket.params[0]].update(bucket.histories)
        written = [p for bucket in self.compiled for p in bucket.params]
        if written:
            torch.autograd.graph.increment_version(written)


_NO_STATES: Sequence[Tensor | None] = ()


def _any_lazy(tensors: Sequence[Tensor | None]) -> bool:
    """Whether one of the tensors is a negative or conjugate view: its memory holds other numbers than it has."""
    return bool(tensors) and any(t is not None and (t.is_neg() or t.is_conj()) for t in tensors)
