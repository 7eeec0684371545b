"""Hogwild: processes, and threads, that update the same memory, each with an optimizer of its own."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor

import zerograd as optim

STEPS = 40


def descend(shared: list[Tensor], names: tuple[str, ...], start: Any, done: Any) -> None:
    """Steps on shared memory towards 3, as one worker of several takes them."""
    torch.set_num_threads(1)
    params = [p.requires_grad_() for p in shared]
    optimizers = [getattr(optim, name)([p], lr=0.05) for name, p in zip(names, params, strict=True)]
    start.wait()
    for _ in range(STEPS):
        for p, optimizer in zip(params, optimizers, strict=True):
            p.grad = p.detach() - 3.0
            optimizer.step()
    done.wait()


def test_two_processes_move_the_same_parameters() -> None:
    names = ("SGD", "AdamW")
    shared = [torch.zeros(5).share_memory_() for _ in names]
    addresses = [p.data_ptr() for p in shared]
    context = mp.get_context("spawn")
    start, done = context.Barrier(2), context.Barrier(2)
    workers = [context.Process(target=descend, args=(shared, names, start, done)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert [p.data_ptr() for p in shared] == addresses
    # Alone, SGD would be at 3 * (1 - 0.95^40) = 2.61 and AdamW at about 40 * 0.05 = 2.0: both workers' steps arrive,
    # but for the few that fall into the same microsecond.
    alone = torch.zeros(5).requires_grad_()
    one = optim.AdamW([alone], lr=0.05)
    for _ in range(STEPS):
        alone.grad = alone.detach() - 3.0
        one.step()
    assert (shared[0] > 2.75).all()
    assert (shared[1] > alone.detach() + 0.1).all()
    assert all((p < 3.5).all() for p in shared)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
def test_state_in_shared_memory_stays_there(name: str) -> None:
    """As a parent makes it before it starts its workers: the step goes on in that memory."""
    runs: list[tuple[Tensor, Any]] = []
    for module in (optim, torch.optim):
        p = torch.zeros(5).requires_grad_()
        optimizer = getattr(module, name)([p], lr=0.05, **({"momentum": 0.9} if name == "SGD" else {}))
        for share in (False, True, False):
            if share:
                p.share_memory_()
                for value in optimizer.state[p].values():
                    value.share_memory_()
            for _ in range(3):
                p.grad = p.detach() - 3.0
                optimizer.step()
        assert p.is_shared()
        assert all(value.is_shared() for value in optimizer.state[p].values())
        runs.append((p, optimizer))
    torch.testing.assert_close(runs[0][0], runs[1][0], rtol=1e-5, atol=1e-6)
    assert float(next(iter(runs[0][1].state.values())).get("step", 9)) == 9


def test_two_optimizers_in_two_threads_end_as_one_after_the_other() -> None:
    """Each its own parameters; one of them irregular, so that plans are made and dropped meanwhile."""

    def run(seed: int, found: dict[int, list[Tensor]]) -> None:
        generator = torch.Generator().manual_seed(seed)
        params = [torch.zeros(50 + i).requires_grad_() for i in range(6)]
        optimizer = optim.AdamW(params, lr=0.1)
        for step in range(150):
            for i, p in enumerate(params):
                g = torch.randn(p.shape, generator=generator)
                p.grad = None if seed % 2 and (step + i) % 3 == 0 else g
            optimizer.step()
        found[seed] = [p.detach() for p in params]

    apart: dict[int, list[Tensor]] = {}
    together: dict[int, list[Tensor]] = {}
    for seed in (1, 2):
        run(seed, apart)
    threads = [threading.Thread(target=run, args=(seed, together)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        assert all(torch.equal(a, b) for a, b in zip(apart[seed], together[seed], strict=True))


def test_adagrad_shares_its_sums_before_the_first_step() -> None:
    """As torch's: processes that start afterwards add up in the same memory."""
    p, q = torch.ones(3).requires_grad_(), torch.ones(3).requires_grad_()
    ours, theirs = (
        optim.Adagrad([p], initial_accumulator_value=0.5),
        torch.optim.Adagrad([q], initial_accumulator_value=0.5),
    )
    for optimizer in (ours, theirs):
        optimizer.share_memory()
    assert ours.state[p]["sum"].is_shared()
    assert torch.equal(ours.state[p]["sum"], theirs.state[q]["sum"])
    shared = ours.state[p]["sum"]
    for step in range(3):
        p.grad, q.grad = torch.full((3,), step + 1.0), torch.full((3,), step + 1.0)
        ours.step()
        theirs.step()
    assert ours.state[p]["sum"] is shared
    assert shared.is_shared()
    torch.testing.assert_close(p, q, rtol=1e-6, atol=0)  # a few units in the last place of float32
