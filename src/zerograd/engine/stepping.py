"""The step loop: gather buckets, run them, keep what they say. The only one in the library.

Kernels that need a reduction over more than their own tensors stop and ask for it; the loop runs all kernels up to
that point, adds their parts up and goes on. Nothing is counted before every kernel has finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from zerograd.engine.buckets import Bucket
from zerograd.kernels.reducing import Kernel, Partial, combined, like


def run(buckets: Sequence[Bucket]) -> None:
    """Run the kernels of all buckets to their end."""
    kernels = [(bucket, bucket.run()) for bucket in buckets]
    waiting: list[tuple[Bucket, Kernel, Partial]] = []

    def go_on(bucket: Bucket, kernel: Kernel, value: object) -> None:
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
