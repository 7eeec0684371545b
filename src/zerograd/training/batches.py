"""Where batches come from: samples in an order that (seed, epoch) decides alone, or a loader of the user's own.

Both give an epoch from any batch on, so that a run goes on in the middle of an epoch with what it would have seen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Protocol

import torch
from torch import Tensor

from zerograd.training.samples import Data, Samples

Batch = tuple[Tensor, Tensor]


class Source(Protocol):
    """What the loop reads from."""

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, counted from 1, without the first ``skip`` ones."""
        ...


def order(count: int, seed: int, epoch: int) -> Tensor:
    """``count`` sample numbers in a random order, int64: a pure function of its arguments."""
    digest = hashlib.blake2b(f"{seed} {epoch}".encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)
    return torch.randperm(count, generator=generator)


class Batches:
    """Every sample once in an epoch, in batches of ``size``; the last one may be smaller.

    One batch of all samples needs no order and keeps the one it has. seed None: the samples' own order, as for
    an evaluation.
    """

    def __init__(self, data: Data, size: int, seed: int | None) -> None:
        self.data = data
        self.size = size
        self.seed = seed
        self._whole: Batch | None = None

    def __len__(self) -> int:
        return -(-len(self.data) // self.size)  # rounded up

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, counted from 1, without the first ``skip`` ones."""
        count = len(self.data)
        if self.size >= count:
            if not skip:
                yield self.whole
            return
        numbers = torch.arange(count) if self.seed is None else order(count, self.seed, number)
        for chosen in torch.split(numbers, self.size)[skip:]:
            yield self.data.batch(chosen)

    @property
    def whole(self) -> Batch:
        """All samples in one batch, in their own order."""
        if isinstance(self.data, Samples):
            return self.data.inputs, self.data.targets
        if self._whole is None:
            self._whole = self.data.batch(torch.arange(len(self.data)))
        return self._whole


class LoaderBatches:
    """The batches of a loader: anything that can be iterated over again and again, such as a DataLoader.

    Its order is its own: a run that goes on in the middle of an epoch reads over the first batches once more, with the
    random numbers of the epoch's start. A sampler with ``set_epoch`` is told the epoch, counted from 0.
    """

    def __init__(self, loader: Iterable[Any]) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return len(self.loader)  # type: ignore[arg-type]  # TypeError for a loader that doesn't know: as len() does

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, counted from 1, without the first ``skip`` ones."""
        for part in self._samplers():
            if hasattr(part, "set_epoch"):
                part.set_epoch(number - 1)
        for batch in islice(iter(self.loader), skip, None):
            if not (isinstance(batch, (tuple, list)) and len(batch) == 2):
                raise TypeError(f"a batch of the loader is a {type(batch).__name__}; it must be (inputs, targets)")
            yield batch[0], batch[1]

    def generators(self) -> list[torch.Generator]:
        """The loader's own generators of random numbers."""
        found = [getattr(part, "generator", None) for part in (self.loader, *self._samplers())]
        return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())

    def _samplers(self) -> list[Any]:
        outer = getattr(self.loader, "batch_sampler", None)
        found = (getattr(self.loader, "sampler", None), outer, getattr(outer, "sampler", None))
        return list({id(sampler): sampler for sampler in found if sampler is not None}.values())
