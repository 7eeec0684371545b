"""The cache does not grow for ever."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from zerograd.kernels.cpu import cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ZEROGRAD_CACHE", str(tmp_path / "kernels"))
    monkeypatch.setattr(cache, "LIMIT", 8)
    return tmp_path / "kernels"


def aged(file: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(file, (then, then))


def test_beyond_the_limit_the_oldest_quarter_goes(folder: Path) -> None:
    for i in range(8):
        cache.write(f"k{i}", b"code")
        aged(folder / f"k{i}.o", 1000 - i)
    assert len(list(folder.iterdir())) == 8
    cache.write("new", b"code")
    assert sorted(f.stem for f in folder.iterdir()) == ["k2", "k3", "k4", "k5", "k6", "k7", "new"]
    assert cache.read("new") == b"code"


def test_what_a_killed_process_left_goes_after_an_hour_and_nothing_else(folder: Path) -> None:
    cache.write("k", b"code")
    for name, age in (("old.tmp", 4000), ("young.tmp", 10), ("notes.txt", 10**6)):
        (folder / name).write_text("x")
        aged(folder / name, age)
    cache.write("new", b"code")
    assert sorted(f.name for f in folder.iterdir()) == ["k.o", "new.o", "notes.txt", "young.tmp"]
