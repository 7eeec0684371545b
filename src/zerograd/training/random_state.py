"""Random numbers of torch, numpy and Python: where they stand, and a place of their own for a run."""

from __future__ import annotations

import random
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

State = dict[str, Any]


def randomness(generators: Sequence[torch.Generator] = ()) -> State:
    """Where all generators stand, in tensors and numbers, so that a checkpoint loads with weights_only=True."""
    version, internal, gauss = random.getstate()
    state: State = {
        "torch": torch.get_rng_state(),
        # as a tensor: 625 numbers would be pickled one by one
        "python": (version, torch.frombuffer(array("q", internal), dtype=torch.int64), gauss),
        "own": [generator.get_state() for generator in generators],
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if "numpy" in sys.modules:
        import numpy as np

        legacy: Any = np.random.get_state()
        kind, keys, *rest = legacy
        state["numpy"] = (str(kind), torch.from_numpy(keys.astype("int64")), *(float(n) for n in rest))
    return state


def set_randomness(state: State, generators: Sequence[torch.Generator] = ()) -> None:
    """Put all generators where ``randomness()`` found them."""
    torch.set_rng_state(state["torch"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(map(int, internal)), gauss))
    for generator, own in zip(generators, state["own"], strict=True):
        generator.set_state(own)
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "numpy" in state:
        import numpy as np

        kind, keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state((kind, keys.numpy().astype("uint32"), int(position), int(has_gauss), gauss))


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Draw all random numbers from ``seed``; afterwards the caller's generators are where they were."""
    import numpy as np

    before = randomness()
    try:
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        yield
    finally:
        set_randomness(before)
