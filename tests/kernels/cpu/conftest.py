"""What the tests of compiled kernels share: a cache of their own, and a count of what is made."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from zerograd.kernels.cpu import kernel, machine


@dataclass
class Made:
    """Sources that were compiled and codes that were loaded since the test began."""

    compiled: list[str] = field(default_factory=list)
    loaded: list[bytes] = field(default_factory=list)

    def clear(self) -> None:
        self.compiled.clear()
        self.loaded.clear()


@pytest.fixture(scope="module", autouse=True)
def on_every_backend() -> str:
    """Instead of the fixture of the folder above: here it is about one of the backends."""
    return "compiled"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's own cache is left alone."""
    before = os.environ.get("ZEROGRAD_CACHE")
    os.environ["ZEROGRAD_CACHE"] = str(tmp_path_factory.mktemp("kernels") / "cache")
    yield
    os.environ.pop("ZEROGRAD_CACHE")
    if before is not None:
        os.environ["ZEROGRAD_CACHE"] = before


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """Counts from here on."""
    record, compiled, loaded = Made(), machine.compiled, machine.loaded

    def compiling(source: str) -> bytes:
        record.compiled.append(source)
        return compiled(source)

    def loading(code: bytes, name: str, needs: tuple[str, ...] = ()) -> int:
        record.loaded.append(code)
        return loaded(code, name, needs)

    monkeypatch.setattr(machine, "compiled", compiling)
    monkeypatch.setattr(machine, "loaded", loading)
    return record


@pytest.fixture
def forget() -> Callable[[], None]:
    """Makes this process forget its kernels, as a new process would; classes that have stepped keep theirs."""
    return kernel._function_at.cache_clear


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: Callable[[], None]) -> Path:
    """A cache that does not exist yet, for a process that knows no kernel."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ZEROGRAD_CACHE", str(folder))
    forget()
    return folder


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    """torch.set_num_threads, until the end of the test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)
