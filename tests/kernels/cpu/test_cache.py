"""Code on disk: where it is, who may write there, and that nothing that is wrong with it stops a step or runs."""

from __future__ import annotations

import os
import pwd
import random
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from kernels.cpu.conftest import Made
from kernels.cpu.keeping import GOOD, entry, names, set_a_trap
from kernels.cpu.running import adding, answer, program
from zerograd.kernels.cpu import cache, kernel, machine

NAMES = ("ZEROGRAD_CACHE", "XDG_CACHE_HOME", "HOME")


# --------------------------------------------------------------------------------------------------- where it is


@pytest.mark.parametrize(
    ("chosen", "xdg", "expected"),
    [
        ("/a/b", "/x", "/a/b"),
        ("~/b", "/x", "/home/me/b"),
        ("b/c", "/x", "{cwd}/b/c"),
        ("", "/x", "/x/zerograd"),
        (None, "/x", "/x/zerograd"),
        (None, "x", "/home/me/.cache/zerograd"),
        (None, "", "/home/me/.cache/zerograd"),
        (None, None, "/home/me/.cache/zerograd"),
    ],
)
def test_the_place_is_what_the_user_says_then_what_xdg_says(
    chosen: str | None, xdg: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(NAMES, (chosen, xdg, "/home/me"), strict=True):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert cache.place() == Path(expected.format(cwd=Path.cwd()))


def test_without_a_home_there_is_no_cache_and_a_step_works(
    monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None], made: Made
) -> None:
    def nobody(_: int) -> NoReturn:
        raise KeyError

    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache.place() is None
    for _ in range(2):
        forget()
        made.clear()
        assert answer(GOOD) == 42
        assert made.compiled == [GOOD]


def test_the_home_of_an_unknown_user_stops_no_step(monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]) -> None:
    monkeypatch.setenv("ZEROGRAD_CACHE", "~no_such_user_as_this/cache")
    forget()
    assert answer(GOOD) == 42


# --------------------------------------------------------------------------------------------- written and read


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_folder_and_its_files_are_private(umask: int, place: Path) -> None:
    before = os.umask(umask)
    try:
        assert answer(GOOD) == 42
    finally:
        os.umask(before)
    assert names(place) == [entry(place).name]
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry(place).stat().st_mode) == 0o600


def test_another_process_reads_what_was_written_bit_for_bit(place: Path) -> None:
    codes = {
        "empty": b"",
        "own": cache._MAGIC * 3,
        "all": bytes(range(256)),
        "long": random.Random(0).randbytes(99_999),
    }
    for name, code in codes.items():
        cache.write(name, code)
    text = "from zerograd.kernels.cpu import cache\nfor name in {}: print(cache.read(name).hex())"
    printed = program(text.format(list(codes)), ZEROGRAD_CACHE=str(place))
    assert [bytes.fromhex(line) for line in printed.split("\n")[:-1]] == list(codes.values())


def test_what_is_kept_is_loaded_and_not_made_again(place: Path, forget: Callable[[], None], made: Made) -> None:
    for compiled in ([GOOD], []):
        made.clear()
        forget()
        assert answer(GOOD) == 42
        assert made.compiled == compiled
        assert len(made.loaded) == 1
    set_a_trap(place)
    forget()
    assert answer(GOOD) == 666 + 1, "the trap of these tests does not work: nothing was loaded"


def test_another_processor_or_compiler_gives_another_name(
    place: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]
) -> None:
    import llvmlite

    set_a_trap(place)
    changes = [
        (machine, "processor", lambda: "i486"),
        (machine, "features", lambda: "+mmx"),
        (llvmlite, "__version__", "0"),
    ]
    found = {machine.identity()}
    for where, name, value in changes:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, value)
            found.add(machine.identity.__wrapped__())
    assert len(found) == 1 + len(changes)
    monkeypatch.setattr(machine, "identity", lambda: "another")
    forget()
    assert answer(GOOD) == 42
    assert len(names(place)) == 2


RACE = """
    import os, torch, zerograd
    from zerograd.kernels.cpu import machine
    compiled, loaded, made, taken = machine.compiled, machine.loaded, [], []
    machine.compiled = lambda source: (made.append(source), compiled(source))[1]
    machine.loaded = lambda code, *more: (taken.append(code), loaded(code, *more))[1]
    def step():
        p = torch.full((5,), 0.5).requires_grad_()
        p.grad = torch.full((5,), 0.25)
        zerograd.AdamW([p]).step()
        return p.detach().numpy().tobytes()
    (ready, go), (answers, give) = os.pipe(), os.pipe()
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            os.close(go)
            os.read(ready, 1)  # ends when the parent lets all go
            os.write(give, step() + bytes([len(made)]))
            os._exit(0)
        children.append(child)
    os.close(go)
    os.close(ready)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    found = [os.read(answers, 21) for _ in children]
    assert max(one[-1] for one in found) > 1, "nothing was made at all"
    expected = step()
    assert {one[:-1] for one in found} == {expected}
    assert not made, "something was left to make"
    print(len(taken))
"""


def test_four_processes_at_once_leave_one_good_file_for_each_kernel(place: Path) -> None:
    kernels = int(program(RACE, ZEROGRAD_CACHE=str(place), OMP_NUM_THREADS="1"))
    assert len(names(place)) == kernels > 1
    assert [name for name in names(place) if not name.endswith(".o")] == []


def test_kernels_are_found_under_the_digest_of_source_and_identity(place: Path) -> None:
    """Sources that differ in one character have files of their own."""
    sources = [adding(n) for n in range(3)]
    assert [answer(source) for source in sources] == [1, 2, 3]
    assert names(place) == sorted(entry(place, source).name for source in sources)
    assert kernel._function_at.cache_info().misses == 3
