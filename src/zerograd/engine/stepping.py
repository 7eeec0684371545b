"""The step loop: measure and scale the gradients, run the buckets. The only one in the library.

Kernels that need a reduction over more than their own tensors stop and ask for it; the loop runs all kernels up to
that point, adds their parts up and goes on. Nothing is counted before every kernel has finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zerograd.engine.buckets import Bucket
from zerograd.engine.compiled import CompiledBucket
from zerograd.kernels.reducing import Kernel, Partial, added, combined, like
from zerograd.lifecycle.clipping import GlobalNorm, norm_of


def run(buckets: Sequence[Bucket | CompiledBucket]) -> None:
    """Run the kernels of all buckets to their end."""
    if all(bucket.single_pass for bucket in buckets):
        for bucket in buckets:
            bucket.launch()
        return
    kernels = [(bucket, bucket.run()) for bucket in buckets]
    waiting: list[tuple[Bucket | CompiledBucket, Kernel, Partial]] = []

    def go_on(bucket: Bucket | CompiledBucket, kernel: Kernel, value: object) -> None:
        try:
            asked = kernel.send(value)  # type: ignore[arg-type]
        except StopIteration:
            return
        waiting.append((bucket, kernel, asked))

    for bucket, kernel in kernels:
        go_on(bucket, kernel, None)
    while waiting:
        # Groups first: a total over all can only be made when every kernel has come that far.
        leader = next((w for w in waiting if w[2].per == "group"), waiting[0])
        asked = leader[2]
        peers = [
            w
            for w in waiting
            if w[2].per == asked.per and (asked.per == "all" or w[0].group_index == leader[0].group_index)
        ]
        value = combined([partial for _, _, partial in peers])
        waiting[:] = [w for w in waiting if not any(w is peer for peer in peers)]
        for bucket, kernel, partial in peers:
            go_on(bucket, kernel, like(value, partial.amount))


def measure(buckets: Sequence[Bucket | CompiledBucket]) -> dict[int, Any]:
    """The sum of the squares of all gradients, by group."""
    parts: dict[int, list[Any]] = {}
    for bucket in buckets:
        for index, amount in bucket.squares().items():
            parts.setdefault(index, []).append(amount)
    return {index: added(amounts) for index, amounts in parts.items()}


def clip(
    buckets: Sequence[Bucket | CompiledBucket], squares: Mapping[int, Any], policies: Mapping[int, GlobalNorm | None],
    shared: GlobalNorm | None,
) -> Any:  # fmt: skip
    """Set what the gradients of each group are multiplied by; the norm of all gradients.

    policies: of groups that have one of their own, None if they are not to be clipped; ``shared`` goes over all others
    together.
    """
    norms = {index: norm_of(squares[index]) for index in squares if index in policies}
    others = [amount for index, amount in squares.items() if index not in policies]
    common = norm_of(added(others)) if others else 0.0
    factors: dict[int, Any] = {}
    for index in squares:
        policy = policies.get(index, shared)
        if policy is not None:
            factors[index] = policy.factor(norms.get(index, common))
    for bucket in buckets:
        bucket.factors = factors
    return norm_of(added(list(squares.values())))
