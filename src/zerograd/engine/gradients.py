"""What is done to the gradients of a step before the rule sees them: measured, clipped, or found not to be numbers.

Gradients are never changed: what they are multiplied by goes into the pass that reads them anyway.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.engine.buckets import Bucket
from zerograd.engine.dtensors import whole
from zerograd.engine.kernel_buckets import CompiledBucket
from zerograd.formats.poisoning import in_words, poisoned
from zerograd.kernels.reducing import added
from zerograd.lifecycle.clipping import GlobalNorm, as_policy, norm_of
from zerograd.lifecycle.ownership import names_of

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

NONFINITE = ("propagate", "skip", "raise")
"""What to do about gradients that hold nan or infinities."""


def checked_nonfinite(value: Any, optimizer: str) -> str:
    """The argument ``nonfinite``; ValueError if it is none of the three."""
    if not isinstance(value, str) or value not in NONFINITE:
        raise ValueError(f"{optimizer}: nonfinite={value!r}; it is one of {', '.join(map(repr, NONFINITE))}")
    return str(value)


def are_measured(optimizer: RuleOptimizer) -> bool:
    """Whether a step has to know the norm of the gradients."""
    wanted = optimizer.clip is not None or optimizer.nonfinite != "propagate"
    return wanted or any(group.get("clip") is not None for group in optimizer.param_groups)


def one_for_all(optimizer: RuleOptimizer) -> GlobalNorm | None:
    """The limit, if one limit for all gradients is all that there is to do."""
    own = any("clip" in group for group in optimizer.param_groups)
    simple = not own and optimizer.nonfinite == "propagate"
    policy = as_policy(optimizer.clip, type(optimizer).__name__) if simple else None
    return policy if policy is not None and math.isfinite(policy.limit) else None


def prepare(optimizer: RuleOptimizer, buckets: Sequence[Bucket | CompiledBucket], scale: float, measures: bool) -> bool:
    """Set what the gradients are multiplied by, measuring them if that is wanted; False if the step is to be skipped.

    scale: what all gradients are multiplied by before anything else looks at them. Raises RuntimeError, with nothing
    changed, for gradients that are not finite if the optimizer is to raise.
    """
    if measures:
        squares = _squares(buckets, scale)
        norm = optimizer.grad_norm = norm_of(added(list(squares.values())))
        if optimizer.nonfinite != "propagate" and not _is_finite(norm):
            culprits = _not_finite(optimizer)
            if culprits and optimizer.nonfinite == "skip":
                return False
            if culprits:
                raise RuntimeError(
                    f"{type(optimizer).__name__}: nan or infinite values in the gradients of {', '.join(culprits)}; "
                    "nothing was changed. Look at the loss of this batch, lower the learning rate, or skip such steps "
                    "with nonfinite='skip'"
                )
        if optimizer.nonfinite != "propagate":
            _check_states(optimizer)
        factors = _factors(optimizer, squares)
    else:
        factors = {}
    if scale != 1.0:
        factors = {index: factors.get(index, 1.0) * scale for index in range(len(optimizer.param_groups))}
    for bucket in buckets:
        bucket.factors = factors
    return True


def _squares(buckets: Sequence[Bucket | CompiledBucket], scale: float) -> dict[int, Any]:
    """The sum of the squares of the scaled gradients, by group."""
    parts: dict[int, list[Any]] = {}
    for bucket in buckets:
        for index, amount in bucket.squares().items():
            parts.setdefault(index, []).append(amount)
    squares = {index: added(amounts) for index, amounts in parts.items()}
    return {index: amount * scale * scale for index, amount in squares.items()} if scale != 1.0 else squares


def _factors(optimizer: RuleOptimizer, squares: Mapping[int, Any]) -> dict[int, Any]:
    """What the gradients of each group are multiplied by. A group with a ``clip`` of its own is clipped by its own
    norm; all others together by theirs."""
    name = type(optimizer).__name__
    own = {i: as_policy(g["clip"], name) for i, g in enumerate(optimizer.param_groups) if "clip" in g}
    others = [amount for index, amount in squares.items() if index not in own]
    common = norm_of(added(others)) if others else 0.0
    shared = as_policy(optimizer.clip, name)
    factors: dict[int, Any] = {}
    for index, amount in squares.items():
        policy: GlobalNorm | None = own.get(index, shared)
        if policy is not None:
            factors[index] = policy.factor(norm_of(amount) if index in own else common)
    return factors


def _check_states(optimizer: RuleOptimizer) -> None:
    """Raise RuntimeError, with nothing changed, if a group of an 8-bit state is nan: skipping steps can't mend that."""
    found = poisoned(optimizer.state)
    if found:
        told = in_words(found, names_of(optimizer))
        raise RuntimeError(
            f"{type(optimizer).__name__}: 8-bit states are nan: {told}. An earlier gradient was nan, infinite, or so "
            "large that its square was, and with it the 128 elements of its group; nothing was changed. Load a "
            "checkpoint from before, or start the state anew: del optimizer.state[parameter]"
        )


def _is_finite(norm: Any) -> bool:
    return bool(torch.isfinite(norm)) if isinstance(norm, Tensor) else math.isfinite(norm)


def _not_finite(optimizer: RuleOptimizer) -> list[str]:
    """The parameters whose gradients hold nan or infinities, as people call them. (A norm may overflow without.)"""
    found: list[str] = []
    for index, group in enumerate(optimizer.param_groups):
        names: Sequence[str] = group.get("param_names", [])
        for at, p in enumerate(group["params"]):
            g: Tensor | None = p.grad
            if g is not None and whole(torch.isfinite(g.coalesce().values() if g.is_sparse else g).logical_not().sum()):
                found.append(names[at] if at < len(names) else f"parameter {at} of group {index}")
    return found
