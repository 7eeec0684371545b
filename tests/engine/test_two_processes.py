"""Models sharded over two processes (fully_shard, gloo): clipped steps, a distributed checkpoint in the middle and bad
gradients on one process only lead where they lead in one process; and so do torch's older wrappers."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

import zerograd as optim
from engine import wrapped
from engine.common import equal, noise, ours

CASES: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9},
    "AdamW": {"weight_decay": 0.1},
    "Adagrad": {},
    "NAdam": {},
    "LAMB": {},
    "Muon": {"weight_decay": 0.1},
    "Adafactor": {},
}
"""By element, with a state from the start, with a number a tensor, with norms of whole tensors, of whole matrices."""


LIMIT = timedelta(seconds=60)
"""A process that waits for the other for ever is a failure."""


def made(name: str, *, sharded: bool, seed: int = 0) -> tuple[nn.Module, Any]:
    """Five rows on two processes: three and two of them. Muon has matrices only."""
    layers = [nn.Linear(3, 5, bias=name != "Muon"), nn.Linear(5, 4, bias=False), nn.Linear(4, 1, bias=False)]
    model = nn.Sequential(*layers)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(noise(seed + i, *p.shape))
    if sharded:
        fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (2,)))
    return model, ours(name, model.parameters(), clip=0.5, nonfinite="skip", **CASES[name])


WAYS = ["two copies", "tensor parallel"]
"""A mesh of two by one, as hybrid shards have it, and layers that are split by their outputs and by their inputs."""
SPLIT: dict[str, dict[str, Any]] = {
    "AdamW": {"clip": 0.5}, "LAMB": {}, "Muon": {"clip": 0.5}, "Adafactor": {}, "LBFGS": {"max_iter": 3},
}  # fmt: skip


def split(name: str, way: str | None) -> tuple[nn.Module, Any]:
    """Two layers of matrices, placed in another way than ``made`` does; None: all in one process."""
    model = nn.Sequential(nn.Linear(3, 6, bias=False), nn.Linear(6, 4, bias=False)).double()
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(noise(i, *p.shape, dtype=torch.float64))
    mesh = dist.device_mesh.init_device_mesh
    if way == "tensor parallel":
        parallelize_module(model, mesh("cpu", (2,)), {"0": ColwiseParallel(), "1": RowwiseParallel()})
    elif way is not None:
        fully_shard(model, mesh=mesh("cpu", (2, 1), mesh_dim_names=("copies", "shards")))
    return model, getattr(optim, name)(model.parameters(), **SPLIT[name])


def split_run(name: str, way: str | None) -> list[torch.Tensor]:
    """The weights after three steps."""
    model, optimizer = split(name, way)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = model(noise(50, 4, 3, dtype=torch.float64)).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return final(model)


def steps(model: nn.Module, optimizer: Any, which: range) -> None:
    for step in which:
        optimizer.zero_grad()
        model(noise(50 + step, 4, 3)).square().mean().backward()
        optimizer.step()


def final(model: nn.Module) -> list[torch.Tensor]:
    return [p.full_tensor().detach() if isinstance(p, DTensor) else p.detach() for p in model.parameters()]


def process(rank: int, folder: str) -> None:
    """What each of the two processes does; the first writes down where it ended."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2, timeout=LIMIT)
    torch.set_num_threads(1)
    found = {}
    for name in CASES:
        model, optimizer = made(name, sharded=True)
        steps(model, optimizer, range(2))
        wrapped.save((model, optimizer), f"{folder}/{name}")
        other, resumed = made(name, sharded=True, seed=7)
        wrapped.load((other, resumed), f"{folder}/{name}")
        steps(other, resumed, range(2, 4))
        before = final(other)
        resumed.zero_grad()
        other(noise(60, 4, 3)).square().mean().backward()
        if rank == 1:
            first = next(other.parameters()).grad
            assert isinstance(first, DTensor)
            first.to_local().fill_(float("nan"))
        resumed.step()
        found[name] = before, final(other), resumed.grad_norm
    placed = {(name, way): split_run(name, way) for name in SPLIT for way in WAYS}
    behind = wrapped.everything(rank, folder)
    torch.save(behind, f"{folder}/wrapped{rank}.pt")
    if rank == 0:
        torch.save(found, f"{folder}/found.pt")
        torch.save(placed, f"{folder}/placed.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("two")
    for name in wrapped.WRAPPED:
        wrapped.save_alone(name, str(made))
    mp.spawn(process, (str(made),), nprocs=2)  # type: ignore[no-untyped-call]
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    return torch.load(folder / "found.pt")


@pytest.mark.parametrize("name", SPLIT)
def test_other_ways_to_place_a_model_end_there_too(name: str, folder: Path) -> None:
    wanted, placed = split_run(name, None), torch.load(folder / "placed.pt")
    for way in WAYS:
        # float64, but another order of sums; Muon's bfloat16 may turn the last bit into 2^-8 of a step of 1e-3.
        torch.testing.assert_close(placed[name, way], wanted, rtol=1e-9, atol=1e-4 if name == "Muon" else 1e-10)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_end_where_one_does(name: str, found: Any) -> None:
    model, optimizer = made(name, sharded=False)
    steps(model, optimizer, range(4))
    for wanted, p in zip(final(model), found[name][0], strict=True):
        # Sums over two processes are added up in another order; Muon's bfloat16 turns an ulp into 2^-8 of a step.
        torch.testing.assert_close(p, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_bad_gradients_on_one_process_skip_the_step_on_both(name: str, found: Any) -> None:
    before, after, norm = found[name]
    assert norm != norm
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("name", CASES)
def test_one_process_goes_on_with_a_checkpoint_of_two(name: str, folder: Path, found: Any) -> None:
    model, optimizer = made(name, sharded=False, seed=7)
    wrapped.load((model, optimizer), str(folder / name))
    steps(model, optimizer, range(2, 4))
    for wanted, p in zip(final(model), found[name][0], strict=True):
        torch.testing.assert_close(p, wanted, rtol=2e-5, atol=2e-5)  # as above


def test_torchs_wrappers_lead_where_one_process_does(folder: Path) -> None:
    for rank in (0, 1):
        for case, weights in torch.load(folder / f"wrapped{rank}.pt")["runs"].items():
            torch.testing.assert_close(  # as above
                weights,
                wrapped.alone(case.split(",")[0]),
                rtol=2e-5,
                atol=2e-5,
                msg=lambda m, case=case: f"{case}: {m}",
            )


def test_what_pieces_of_flat_tensors_can_not_do_is_refused(folder: Path) -> None:
    for rank in (0, 1):
        told, weights, described = torch.load(folder / f"wrapped{rank}.pt")["refused"]
        clipped, lamb = told
        assert "clip_grad_norm_" in clipped
        assert "fully_shard" in lamb
        assert equal(weights, wrapped.whole(wrapped.layers()))
        assert "a piece of FullyShardedDataParallel's flat tensor" in described


def test_what_shares_of_the_parameters_can_not_do_is_refused(folder: Path) -> None:
    (clipped, prodigy), weights = torch.load(folder / "wrapped0.pt")["shares"]
    assert "clip_grad_norm_" in clipped
    assert "sums over all parameters" in prodigy
    assert not equal(weights, wrapped.whole(wrapped.layers())), "LAMB looks at one parameter at a time"
    assert equal(weights, torch.load(folder / "wrapped1.pt")["shares"][1])


def test_an_overflow_in_one_process_is_one_in_both(folder: Path) -> None:
    for rank in (0, 1):
        weights, scale = torch.load(folder / f"wrapped{rank}.pt")["overflow"]
        assert equal(weights, wrapped.whole(wrapped.layers()))
        assert scale == 128.0


def test_copies_are_rounded_alike_whatever_their_seeds(folder: Path) -> None:
    first, second = (torch.load(folder / f"wrapped{rank}.pt")["rounded"] for rank in (0, 1))
    assert first.keys() == second.keys() == {"state_format", "weight_format"}
    for key, weights in first.items():
        assert equal(weights, second[key]), key
