"""ZeroRedundancyOptimizer round our classes: each rank keeps the state of its share, and the run is the whole one's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.multiprocessing import get_context
from torch.nn.parallel import DistributedDataParallel

import zerograd as optim
from tests_ecosystem.common import FEW, OPTIMIZERS, assert_same_run, network, optimizer, samples, torchs, weights

pytestmark = pytest.mark.xdist_group("ranks")  # one process of xdist's makes the ranks, once

Outcome = dict[tuple[str, str], Any]

VIEWS = (False, True)
"""Whether the parameters are views of a bucket; both for a few classes."""

HOMES = {"zerograd": optim, "torch": torchs}


def trained(optimizer: Any, model: Any, *, rank: int, world: int, steps: int = 6) -> list[torch.Tensor]:
    """Weights after some steps; each rank sees its share of every batch."""
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
    inputs, targets = (torch.stack(column) for column in zip(*samples(), strict=True))
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(inputs[rank::world]), targets[rank::world]).backward()
        optimizer.step()
        schedule.step()
    return weights(model)


def on_a_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    limit = timedelta(minutes=5)  # for a rank that waits for one that died
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=world, timeout=limit)
    outcome: Outcome = {}
    for name, hypers in OPTIMIZERS.items():
        for home, module in HOMES.items():
            for views in VIEWS[: 1 + (name in FEW)]:
                model = DistributedDataParallel(network().double())
                sharded = ZeroRedundancyOptimizer(
                    model.parameters(),
                    optimizer_class=getattr(module, name),
                    parameters_as_bucket_view=views,
                    **hypers,
                )
                outcome[name, f"{home} views={views}"] = trained(sharded, model, rank=rank, world=world)
                sharded.consolidate_state_dict(to=0)
                if home == "zerograd" and not views:
                    assert type(sharded.optim) is getattr(optim, name)
                    own = sum(len(group["params"]) for group in sharded.optim.param_groups)
                    outcome[name, "own"] = own
                    if rank == 0:
                        outcome[name, "saved"] = sharded.state_dict()
    torch.save(outcome, f"{folder}/rank{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[1, 2], ids=["one rank", "two ranks"])
def outcomes(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Outcome]:
    """What every rank of a world of one or two came to. Rank 0 is this process, which has imported everything."""
    folder: Path = tmp_path_factory.mktemp("ranks")
    context = get_context("spawn")
    others = [context.Process(target=on_a_rank, args=(r, request.param, str(folder))) for r in range(1, request.param)]
    for process in others:
        process.start()
    on_a_rank(0, request.param, str(folder))
    for process in others:
        process.join()
        assert process.exitcode == 0
    return [torch.load(folder / f"rank{rank}.pt", weights_only=False) for rank in range(request.param)]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_sharded_run_is_the_whole_run_and_torchs(name: str, outcomes: list[Outcome]) -> None:
    model = network().double()
    whole = trained(optimizer(torchs, name, model.parameters()), model, rank=0, world=1)
    for outcome in outcomes:
        for views in VIEWS[: 1 + (name in FEW)]:
            assert_same_run(outcome[name, f"zerograd views={views}"], outcome[name, f"torch views={views}"])
            assert_same_run(outcome[name, f"zerograd views={views}"], whole)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_rank_keeps_its_share_and_the_state_is_consolidated(name: str, outcomes: list[Outcome]) -> None:
    shares = [outcome[name, "own"] for outcome in outcomes]
    assert sum(shares) == 4
    assert all(shares)
    saved = outcomes[0][name, "saved"]
    model = network().double()
    loaded = optimizer(optim, name, model.parameters())
    loaded.load_state_dict(saved)
    kept = [len(loaded.state[p]) for p in model.parameters()]
    assert kept[0] > 0
    assert len(set(kept)) == 1, "the state of every parameter, whichever rank had it"
