"""Sharded tensors (DTensor): a rule that looks at one element at a time may run on each process's own part.

That needs no communication and none of DTensor's operations on lists, of which several are missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zerograd.engine.buckets import Bucket
from zerograd.engine.dtensors import local
from zerograd.kernels.reducing import Kernel


@dataclass
class ShardBucket(Bucket):
    """DTensors that lie alike: computed and stored in the local tensors, which share memory with them."""

    def compute(self) -> Kernel:
        with torch.no_grad():
            own = Bucket(
                self.program, self.group_index, self.hypers, self.device, self.dtype, self.t, self.first, self.maximize,
                params=[local(p) for p in self.params],
                grads=[local(g) for g in self.grads],
                states={name: [local(t) for t in tensors] for name, tensors in self.states.items()},
                scalars=self.scalars,
                factors=self.factors,
            )  # fmt: skip
            yield from own.run()
        torch.autograd.graph.increment_version(self.params)
        self.new_scalars = own.new_scalars
