"""Threads: as many as torch has, and the same bits for any number of them, in any process and beside others."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd
from kernels.cpu.conftest import Made
from kernels.cpu.running import UNEVEN, everything, give, model, program
from zerograd import from_rule, rules
from zerograd.kernels.cpu import pool
from zerograd.kernels.cpu.table import PARALLEL

CASES: dict[str, dict[str, Any]] = {
    "AdamW": {"weight_decay": 0.1},
    "SGD": {"momentum": 0.9, "lr": 0.1},
    "LAMB": {"weight_decay": 0.1},  # a norm for each tensor
    "StableAdamW": {},  # a mean for each tensor
    "Prodigy": {"d0": 0.01},  # totals over all tensors
}
SetThreads = Callable[[int], None]


def trained(
    name: str, shapes: tuple[tuple[int, ...], ...] = UNEVEN, dtype: torch.dtype = torch.float32, steps: int = 3
) -> list[bytes]:
    """Everything that an optimizer holds after some steps, in two groups."""
    params = model(shapes, dtype)
    groups = [{"params": params[:3]}, {"params": params[3:]}]
    optimizer = getattr(zerograd, name)(groups, **CASES[name])
    for step in range(steps):
        give(params, step)
        optimizer.step()
    assert sum(bucket.table.total for bucket in optimizer._plan.buckets) == sum(p.numel() for p in params)
    return everything(optimizer)


@pytest.fixture
def python_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if torch's OpenMP library were not to be found."""
    monkeypatch.setattr(pool, "_openmp_libraries", list)
    pool._team.cache_clear()
    assert pool.description().startswith("Python's threads")
    yield
    pool._python_threads().shutdown()
    pool._python_threads.cache_clear()
    pool._team.cache_clear()


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of threads that kernels ask for, those that ask for one left out; one thread does it all."""
    asked: list[int] = []

    def team(function: int, argument: int, count: int) -> None:
        asked.append(count)
        for _ in range(count):  # all but the first find nothing left to do
            pool._serial(function)(argument)

    monkeypatch.setattr(pool, "_team", lambda: (team, "counted"))
    return asked


def test_the_model_of_these_tests_is_worth_several_threads() -> None:
    assert sum(p.numel() for p in model(UNEVEN)) > 4 * PARALLEL


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_number_of_threads_changes_no_bit(name: str, dtype: torch.dtype, set_threads: SetThreads) -> None:
    """In float64 a sum in another order shows; of float32 numbers it is nearly exact in any order."""
    expected = trained(name, dtype=dtype)
    for count in (2, 3, 8):
        set_threads(count)
        assert trained(name, dtype=dtype) == expected, f"{count} threads"


@pytest.mark.parametrize("name", CASES)
def test_python_threads_change_no_bit(name: str, set_threads: SetThreads, request: pytest.FixtureRequest) -> None:
    expected = trained(name)
    request.getfixturevalue("python_threads")
    for count in (2, 8):
        set_threads(count)
        assert trained(name) == expected, f"{count} threads"


@pytest.mark.parametrize("name", ["AdamW", "LAMB"])
def test_the_order_of_the_threads_changes_no_bit(name: str, counts: list[int], set_threads: SetThreads) -> None:
    """One thread after another, instead of all at once."""
    expected = trained(name)
    set_threads(5)
    assert trained(name) == expected
    assert counts


@pytest.mark.parametrize("count", [2, 3, 8])
def test_torchs_number_of_threads_is_obeyed(count: int, counts: list[int], set_threads: SetThreads) -> None:
    set_threads(count)
    trained("LAMB")
    assert set(counts) == {count}


def test_one_thread_asks_for_no_other(counts: list[int]) -> None:
    trained("LAMB")
    assert counts == []


def test_a_change_of_the_number_is_seen_by_the_next_step(counts: list[int], set_threads: SetThreads) -> None:
    params = model(UNEVEN)
    optimizer = zerograd.AdamW(params)
    for step, count in enumerate([1, 1, 4, 2, 1, 3]):
        set_threads(count)
        counts.clear()
        give(params, step)
        optimizer.step()
        assert counts == ([] if count == 1 else [count])


def test_there_are_no_more_threads_than_pieces_of_work(counts: list[int], set_threads: SetThreads) -> None:
    set_threads(64)
    trained("AdamW", shapes=((PARALLEL + 1,), (1,), (2,), (0,)))
    assert set(counts) == {5 + 1 + 1}


def test_a_small_model_wakes_nobody(counts: list[int], set_threads: SetThreads) -> None:
    set_threads(8)
    trained("AdamW", shapes=((PARALLEL - 10,), (1,), (2,), (3,)))
    trained("Prodigy", shapes=((PARALLEL - 10,), (1,), (2,), (3,)))
    assert counts == []


def test_torchs_own_threads_do_the_work() -> None:
    """A second pool beside torch's would fight with it for the cores."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system has no /proc/self/task to count threads in")
    if "gomp" not in Path("/proc/self/maps").read_text():
        pytest.skip("this torch's OpenMP library is not GNU's, which kernels can run on")
    assert pool.description().startswith("torch's OpenMP threads")
    program(
        """
        import os, torch, zerograd
        from zerograd.kernels.cpu import pool
        threads = lambda: len(os.listdir("/proc/self/task"))
        torch.set_num_threads(3)
        params = [torch.ones(200_000).requires_grad_()]
        (params[0] * 2).sum().backward()
        torch.randn(400_000).sin().add_(1)
        before = threads()
        assert before > 2
        optimizer = zerograd.AdamW(params)
        counts = []
        run, pool.run = pool.run, lambda f, a, count: (counts.append(count), run(f, a, count))
        for _ in range(3):
            optimizer.step()
        assert counts == [3, 3, 3]
        assert threads() == before, (threads(), before)
        """
    )


SIZES = {"two": ((PARALLEL, 2), (3,)), "large": ((PARALLEL * 8, 2),), "many": ((500,),) * 80}


@pytest.mark.parametrize("shapes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("name", ["AdamW", "LAMB", "Prodigy"])
def test_a_gradient_stays_alive_while_a_kernel_reads_it(
    name: str, shapes: tuple[tuple[int, ...], ...], set_threads: SetThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without Python's lock another thread may set it to None meanwhile."""
    params = model(shapes)
    optimizer = getattr(zerograd, name)(params, **CASES[name])
    run, alive, grads = pool.run, list[bool](), list[weakref.ref[Tensor]]()

    def run_beside_another_thread(function: int, argument: int, count: int) -> None:
        for p in params:
            p.grad = None
        alive.append(all(grad() is not None for grad in grads))
        run(function, argument, count)

    monkeypatch.setattr(pool, "run", run_beside_another_thread)
    for step, count in enumerate([1, 1, 2, 2, 3, 1]):
        set_threads(count)
        give(params, step)
        grads[:] = [weakref.ref(p.grad) for p in params if p.grad is not None]
        optimizer.step()
    assert all(alive)
    assert alive or len(params) > 2, "nothing ran without the lock"


# ------------------------------------------------------------------------------------------- forks and neighbours

FORK = """
    import hashlib, os, signal
    import torch, zerograd
    from zerograd.kernels.cpu import pool

    def flow():
        shapes = [(70_001,), (40_000,), (5,)]
        made = [zerograd.AdamW, zerograd.LAMB, zerograd.Prodigy]
        params = [[torch.full(shape, 0.5).requires_grad_() for shape in shapes] for _ in made]
        optimizers = [cls(p, lr=0.1) for cls, p in zip(made, params)]
        small = torch.full((5,), 0.5).requires_grad_()
        small.grad = torch.full((5,), 0.25)
        def give(number):
            for q in sum(params, []):
                q.grad = torch.full(q.shape, 0.1 + number)
        def step():
            for optimizer in optimizers:
                optimizer.step()
        def digest():
            return hashlib.sha256(b"".join(q.detach().numpy().tobytes() for q in sum(params, []))).digest()
        for number in range(2):
            give(number)
            step()
        give(0.6)  # now: in the child, torch's own operations on large tensors hang
        here, there = os.pipe()
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            assert pool.threads() == 1
            assert "forked" in pool.description()
            step()
            step()
            zerograd.Lion([small]).step()
            grandchild = os.fork()
            if grandchild == 0:
                signal.alarm(20)
            else:
                os.waitpid(grandchild, 0)
            step()
            os.write(there, digest())
            os._exit(0)
        for _ in range(3):
            step()
        assert os.waitpid(child, 0)[1] == 0
        assert os.read(here, 32) == os.read(here, 32) == digest()
        assert pool.threads() == 2

    torch.set_num_threads(2)
    flow()
    pool._openmp_libraries = list
    pool._team.cache_clear()
    assert pool.description().startswith("Python's threads")
    flow()
"""


def test_a_forked_child_goes_on_with_the_same_bits() -> None:
    """OpenMP's threads, and Python's, are not there in the child; waiting for them would never end."""
    program(FORK, timeout=50, OMP_NUM_THREADS="2")


def _ran(name: str, steps: int, shapes: list[tuple[int, ...]], start: Callable[[], object]) -> list[bytes]:
    params = model(shapes)
    optimizer = getattr(zerograd, name)(params, **CASES[name])
    give(params, 0)
    kept = [p.grad for p in params]
    start()
    for step in range(steps):
        for p, g in zip(params, kept, strict=True):
            p.grad = g.clone() if step % 3 else p.detach() * 0.1  # type: ignore[union-attr]
        optimizer.step()
    return everything(optimizer)


@pytest.mark.parametrize(
    ("names", "steps", "shapes"),
    [
        (("AdamW", "AdamW", "SGD"), 400, [(17, 3), (5,), ()]),
        (("AdamW", "LAMB"), 300, [(PARALLEL,), (2_049,), (3,)]),
        (("Prodigy", "Prodigy"), 200, [(4_001,), (3,)]),
    ],
    ids=["small", "parallel", "reducing"],
)
def test_optimizers_in_several_python_threads_do_not_disturb_each_other(
    names: tuple[str, ...], steps: int, shapes: list[tuple[int, ...]], set_threads: SetThreads
) -> None:
    set_threads(2)
    expected = [_ran(name, steps, shapes, bool) for name in names]
    together = threading.Barrier(len(names))
    found: dict[int, list[bytes]] = {}

    def run(place: int) -> None:
        found[place] = _ran(names[place], steps, shapes, lambda: together.wait(30))

    running = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(len(names))]
    for one in running:
        one.start()
    for one in running:
        one.join(60)
    assert [found.get(place) for place in range(len(names))] == expected


def test_two_threads_at_their_first_step_compile_once(place: Path, made: Made) -> None:
    del place  # an empty cache, and a process that knows no kernel
    together = threading.Barrier(2)
    failures: list[BaseException] = []

    def first_step() -> None:
        try:
            params = model([(5,)])
            give(params, 0)
            optimizer = from_rule(rules.adam, name="Fresh", lr=0.1)(params)
            together.wait(30)
            optimizer.step()
        except BaseException as error:
            failures.append(error)

    running = [threading.Thread(target=first_step, daemon=True) for _ in range(2)]
    for one in running:
        one.start()
    for one in running:
        one.join(60)
    assert failures == []
    assert len(made.compiled) == len(set(made.compiled)) > 0
