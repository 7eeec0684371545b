"""All laws of this folder hold on every backend."""

from __future__ import annotations

import pytest

from backends import backend

__all__ = ["backend"]


@pytest.fixture(scope="module", autouse=True)
def on_every_backend(backend: str) -> str:
    return backend
