"""Scalar states: numbers of a tensor, a group or all groups, where they are kept and what they have to agree on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zerograd.algebra.states import Scalar
from zerograd.algebra.tracing import Graph, is_static
from zerograd.engine.buckets import Bucket
from zerograd.engine.kernel_buckets import CompiledBucket

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


def counts_steps(optimizer: RuleOptimizer, graph: Graph) -> bool:
    """Whether each parameter's steps are counted: torch does, the rule reads them, or the noise hangs on them."""
    return bool(optimizer.keeps_step) or graph.reads_t or optimizer._state_choices.noisy


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


def histories_of(graph: Graph, states: Sequence[Mapping[str, Any]]) -> list[dict[str, Tensor]]:
    """The scalar states of each parameter through which autograd is to go."""
    names = [name for name, spec in graph.scalar_states.items() if spec.per == "tensor"]
    return [
        {name: x for name in names if isinstance(x := state.get(name), Tensor) and x.requires_grad} for state in states
    ]
