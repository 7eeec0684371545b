"""Runs of a model behind torch's distributed wrappers, for ``test_two_processes``: one function, one way."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.fsdp import FullyShardedDataParallel, StateDictType, fully_shard
from torch.distributed.fsdp.sharded_grad_scaler import ShardedGradScaler
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

import zerograd as optim
from engine.common import noise, ours

WRAPPED: dict[str, dict[str, Any]] = {"SGD": {"lr": 0.1, "momentum": 0.9}, "AdamW": {"lr": 0.05}, "NAdam": {"lr": 0.05}}
"""Rules that look at one element at a time: FSDP1 leaves nothing else to look at."""

Run = tuple[nn.Module, Any]


def layers(seed: int = 0) -> nn.Module:
    """Five rows: three for one process and two for the other."""
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(noise(seed + i, *p.shape))
    return model


def advance(run: Run, steps: range, rank: int = 0, world: int = 1) -> None:
    """Each process with its share of every batch."""
    model, optimizer = run
    for step in steps:
        optimizer.zero_grad()
        model(noise(50 + step, 4, 3).chunk(world)[rank]).square().mean().backward()
        optimizer.step()


def whole(model: nn.Module) -> list[Tensor]:
    """All parameters in full. FSDP1 without the original ones has one vector: so one vector of each model."""
    if isinstance(model, FullyShardedDataParallel):
        with FullyShardedDataParallel.summon_full_params(model, writeback=False):
            return whole(model.module)
    found = [p.full_tensor() if isinstance(p, DTensor) else p for p in model.parameters()]
    return [torch.cat([p.detach().flatten() for p in found])]


def alone(name: str) -> list[Tensor]:
    """Four steps in one process."""
    model = layers()
    advance((model, ours(name, model.parameters(), **WRAPPED[name])), range(4))
    return whole(model)


def flattened(name: str, rank: int, *, original: bool) -> list[Tensor]:
    """FSDP1, with a checkpoint of shards in the middle."""

    def made(seed: int) -> Run:
        model = FullyShardedDataParallel(layers(seed), use_orig_params=original, device_id=torch.device("cpu"))
        return model, ours(name, model.parameters(), **WRAPPED[name])

    first, second = made(0), made(9)
    advance(first, range(2), rank, 2)
    with FullyShardedDataParallel.state_dict_type(first[0], StateDictType.SHARDED_STATE_DICT):
        saved = copy.deepcopy((first[0].state_dict(), FullyShardedDataParallel.optim_state_dict(*first)))
    with FullyShardedDataParallel.state_dict_type(second[0], StateDictType.SHARDED_STATE_DICT):
        second[0].load_state_dict(saved[0])
        second[1].load_state_dict(FullyShardedDataParallel.optim_state_dict_to_load(*second, saved[1]))
    advance(second, range(2, 4), rank, 2)
    return whole(second[0])


def flattened_refusals(rank: int) -> tuple[list[str], list[Tensor], Any]:
    """What FSDP1 leaves no way to do, the weights after it, and why states stay plain."""
    told: list[str] = []
    model = FullyShardedDataParallel(layers(), use_orig_params=True, device_id=torch.device("cpu"))
    int8 = optim.AdamW(model.parameters(), state_format=optim.Int8(smallest=0, vectors=True))
    for optimizer in (optim.AdamW(model.parameters(), clip=1.0), optim.LAMB(model.parameters())):
        try:
            advance((model, optimizer), range(1), rank, 2)
        except RuntimeError as error:
            told.append(str(error))
    return told, whole(model), str(optim.describe(int8))


def share_refusals(rank: int) -> tuple[list[str], list[Tensor]]:
    """What ZeroRedundancyOptimizer leaves no way to do, and the weights after it; LAMB, which it does, comes last."""
    with warnings.catch_warnings():  # torch's own module uses torch.jit.script, which torch has deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        from torch.distributed.optim import ZeroRedundancyOptimizer
    told: list[str] = []
    model = DistributedDataParallel(layers())
    cases: list[tuple[type[Any], dict[str, Any]]] = [
        (optim.AdamW, {"clip": 1.0}),
        (optim.Prodigy, {}),
        (optim.LAMB, {}),
    ]
    for kind, own in cases:
        optimizer = ZeroRedundancyOptimizer(model.parameters(), kind, lr=0.01, **own)
        before = whole(model.module)
        try:
            advance((model, optimizer), range(1), rank, 2)
        except RuntimeError as error:
            told.append(str(error))
            assert all(map(torch.equal, before, whole(model.module)))
    return told, whole(model.module)


def overflow_on_one(rank: int) -> tuple[list[Tensor], float]:
    """FSDP1's own scaler, and a gradient that is infinite in one process's piece."""
    model = FullyShardedDataParallel(layers(), use_orig_params=True, device_id=torch.device("cpu"))
    optimizer, scaler = optim.SGD(model.parameters(), lr=0.1), ShardedGradScaler("cpu", init_scale=256.0)
    scaler.scale(model(noise(50, 4, 3)).square().mean()).backward()
    if rank == 1:
        next(p.grad for p in model.parameters() if p.grad is not None).fill_(float("inf"))
    scaler.step(optimizer)
    scaler.update()
    return whole(model), scaler.get_scale()


def accumulated(name: str, rank: int) -> list[Tensor]:
    """DistributedDataParallel whose gradients are views of its buckets; windows of two micro-batches."""
    model = DistributedDataParallel(layers(), gradient_as_bucket_view=True)
    optimizer = ours(name, model.parameters(), **WRAPPED[name])
    micro = [half for step in range(4) for half in noise(50 + step, 4, 3).chunk(2)[rank].chunk(2)]
    for batches in optim.accumulate(micro, optimizer, every=2, model=model):
        optimizer.zero_grad()
        for inputs in batches:
            batches.backward(model(inputs).square().mean())
        optimizer.step()
    return whole(model)


def sharded(model: nn.Module) -> nn.Module:
    fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (2,)))
    return model


def in_backward(name: str, rank: int) -> list[Tensor]:
    """An optimizer for each parameter, stepped by a hook; their states in one flat dictionary, as torchtitan has it."""
    options = StateDictOptions(flatten_optimizer_state_dict=True)

    def made(seed: int) -> tuple[nn.Module, dict[Tensor, Any]]:
        model = sharded(layers(seed))
        return model, {p: ours(name, [p], **WRAPPED[name]) for p in model.parameters()}

    def go_on(model: nn.Module, each: dict[Tensor, Any], steps: range) -> None:
        def hook(p: Tensor) -> None:
            each[p].step()
            each[p].zero_grad()

        handles = [p.register_post_accumulate_grad_hook(hook) for p in model.parameters()]
        for step in steps:
            model(noise(50 + step, 4, 3).chunk(2)[rank]).square().mean().backward()
        for handle in handles:
            handle.remove()

    first, second = made(0), made(9)
    go_on(*first, range(2))
    saved = copy.deepcopy(get_optimizer_state_dict(first[0], list(first[1].values()), options=options))
    second[0].load_state_dict(first[0].state_dict())
    set_optimizer_state_dict(second[0], list(second[1].values()), saved, options=options)
    go_on(*second, range(2, 4))
    return whole(second[0])


def from_meta(name: str, rank: int) -> list[Tensor]:
    """An optimizer that is made before its parameters have memory."""
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    optimizer = ours(name, sharded(model).parameters(), **WRAPPED[name])
    model.to_empty(device="cpu")
    with torch.no_grad():
        for p, start in zip(model.parameters(), layers().parameters(), strict=True):
            assert isinstance(p, DTensor)
            p.copy_(distribute_tensor(start.detach(), p.device_mesh, p.placements))
    advance((model, optimizer), range(4), rank, 2)
    return whole(model)


def save(run: Run, path: str) -> None:
    states = states_of(run)
    with one_process_may_be_alone():
        dcp.save(states, checkpoint_id=path)


def load(run: Run, path: str) -> None:
    states = states_of(run)
    with one_process_may_be_alone():
        dcp.load(states, checkpoint_id=path)
    set_state_dict(*run, model_state_dict=states["model"], optim_state_dict=states["optimizer"])


def states_of(run: Run) -> dict[str, Any]:
    return dict(zip(("model", "optimizer"), get_state_dict(*run), strict=True))


@contextmanager
def one_process_may_be_alone() -> Iterator[None]:
    """torch warns that it assumes as much."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*single process")
        yield


def save_alone(name: str, folder: str) -> None:
    """What two processes are to load: two steps of one."""
    model = layers()
    run = model, ours(name, model.parameters(), **WRAPPED[name])
    advance(run, range(2))
    save(run, f"{folder}/one-{name}")


def from_one(name: str, rank: int, folder: str) -> list[Tensor]:
    """A checkpoint of one process, gone on with by two."""
    model = sharded(layers(9))
    run = model, ours(name, model.parameters(), **WRAPPED[name])
    load(run, f"{folder}/one-{name}")
    advance(run, range(2, 4), rank, 2)
    return whole(model)


def rounded(rank: int) -> dict[str, list[Tensor]]:
    """DistributedDataParallel's copies, whose programs have seeded torch differently, after noisy steps."""
    found = {}
    for dtype, noisy in (
        (torch.float32, {"state_format": optim.Int8(smallest=0, vectors=True)}),
        (torch.bfloat16, {"weight_format": "stochastic"}),
    ):
        torch.manual_seed(rank)
        model = DistributedDataParallel(layers().to(dtype))
        optimizer = optim.AdamW(model.parameters(), lr=0.05, **noisy)
        for step in range(4):
            optimizer.zero_grad()
            model(noise(50 + step, 4, 3).to(dtype).chunk(2)[rank]).square().mean().backward()
            optimizer.step()
        found[next(iter(noisy))] = whole(model)
    return found


def everything(rank: int, folder: str) -> dict[str, Any]:
    """All of it, by what it is."""
    found: dict[str, Any] = {
        f"{name}, {way}": result
        for name in WRAPPED
        for way, result in {
            "FSDP1": flattened(name, rank, original=False),
            "FSDP1 with the original parameters": flattened(name, rank, original=True),
            "windows of DDP with bucket views": accumulated(name, rank),
            "steps in backward": in_backward(name, rank),
            "from meta": from_meta(name, rank),
            "from a checkpoint of one process": from_one(name, rank, folder),
        }.items()
    }
    others = {"refused": flattened_refusals(rank), "shares": share_refusals(rank), "overflow": overflow_on_one(rank)}
    return {"runs": found, "rounded": rounded(rank), **others}
