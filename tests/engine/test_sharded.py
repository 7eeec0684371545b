"""Models sharded by fully_shard (DTensor), in a group of one process: results are those of a plain run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

import zerograd
from engine.common import FLAGS, OWN, SHARED, noise, ours


@pytest.fixture(scope="module", autouse=True)
def group() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def trained(name: str, *, sharded: bool, every: int = 1, **hypers: Any) -> tuple[list[torch.Tensor], Any]:
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2))
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(noise(i, *p.shape))
    if sharded:
        fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (1,)))
    optimizer = ours(name, model.parameters(), **hypers)
    for step in range(4):
        last = (step + 1) % every == 0
        if isinstance(model, FSDPModule):
            model.set_requires_gradient_sync(last)  # until then there is no gradient on the parameters at all
        model(noise(50 + step, 4, 3)).square().mean().backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()
    params = list(model.parameters())
    assert all(isinstance(p, DTensor) == sharded for p in params)
    return [p.full_tensor().detach() if isinstance(p, DTensor) else p.detach() for p in params], optimizer


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_a_sharded_model_ends_where_a_plain_one_does(name: str) -> None:
    hypers = FLAGS.get(name, {})
    (plain, _), (sharded, optimizer) = trained(name, sharded=False, **hypers), trained(name, sharded=True, **hypers)
    for p, q in zip(plain, sharded, strict=True):
        # Plain ones go through a kernel that rounds products and sums once; a root near zero makes ulps some more.
        torch.testing.assert_close(p, q, rtol=2e-5, atol=2e-6)
    for p, state in optimizer.state.items():
        for key, value in state.items():
            if value.dim():
                assert isinstance(value, DTensor), key
                assert value.placements == p.placements


def test_states_of_sharded_parameters_stay_plain_with_8_bits_and_it_is_told_why() -> None:
    (plain, _), (sharded, optimizer) = (
        trained("AdamW", sharded=one, state_format=zerograd.Int8(smallest=0))
        if one
        else trained("AdamW", sharded=False)
        for one in (False, True)
    )
    for p, q in zip(plain, sharded, strict=True):
        torch.testing.assert_close(p, q, rtol=2e-5, atol=2e-6)  # as above
    assert "shards may cut through groups" in str(zerograd.describe(optimizer))


def test_gradients_that_are_only_exchanged_at_the_end_of_a_window() -> None:
    plain, sharded = (trained("AdamW", sharded=sharded, every=2)[0] for sharded in (False, True))
    torch.testing.assert_close(plain, sharded, rtol=2e-5, atol=2e-6)  # as above
