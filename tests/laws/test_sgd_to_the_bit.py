"""Law: SGD's weights and momentum are PyTorch's, bit for bit, in float32 and float64.

PyTorch's loop and ``foreach`` are meant; ``fused=True`` rounds otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import zerograd as optim

SHAPES = ((57, 33), (401,), (3, 2, 5), ())
STEPS = 5

DECAYS = st.sampled_from([0.0, 1e-4, 0.037, 0.5])
PLAIN = st.fixed_dictionaries({"weight_decay": DECAYS})
HEAVY = st.fixed_dictionaries(
    {
        "weight_decay": DECAYS,
        "momentum": st.sampled_from([0.37, 0.9, 0.99]),
        "dampening": st.sampled_from([0.0, 0.1, 0.5]),
    }
)
AHEAD = st.fixed_dictionaries(
    {"weight_decay": DECAYS, "momentum": st.sampled_from([0.37, 0.9, 0.99]), "nesterov": st.just(True)}
)


def trained(kind: Any, seed: int, dtype: torch.dtype, **hypers: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    params = [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for shape in SHAPES
    ]
    optimizer = kind(params, **hypers)
    for _ in range(STEPS):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64).to(dtype)
        optimizer.step()
    states = [optimizer.state[p].get("momentum_buffer") for p in params]
    return [p.detach() for p in params] + [x for x in states if x is not None]


@pytest.mark.parametrize("foreach", [False, True], ids=["loop", "foreach"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@given(
    hypers=PLAIN | HEAVY | AHEAD,
    lr=st.sampled_from([0.1, 0.013, 1e-3]),
    maximize=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=25, deadline=None)
def test_sgd_gives_the_bits_of_torch(
    foreach: bool, dtype: torch.dtype, hypers: dict[str, Any], lr: float, maximize: bool, seed: int
) -> None:
    hypers = {"lr": lr, "maximize": maximize, **hypers}
    theirs = trained(torch.optim.SGD, seed, dtype, foreach=foreach, **hypers)
    mine = trained(optim.SGD, seed, dtype, **hypers)
    assert [torch.equal(a, b) for a, b in zip(theirs, mine, strict=True)] == [True] * len(theirs)
