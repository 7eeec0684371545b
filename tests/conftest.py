"""Common to all tests: tiny tensors run faster on one thread, and tests in parallel do not disturb each other."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

os.environ.setdefault("ZEROGRAD_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels"))
torch.set_num_threads(1)
torch.manual_seed(0)  # for what is drawn while tests are collected


def pytest_collection_finish() -> None:
    """Thousands of collected tests are nothing that the collector of cycles has to go through again and again."""
    gc.freeze()


def pytest_runtest_setup() -> None:
    """Every test draws the same numbers each time and in any order: torch seeds itself anew in each process."""
    torch.manual_seed(0)


@pytest.fixture
def double() -> Iterator[None]:
    """float64 as the default dtype: torch keeps step counts and scalar states in it, and float32 costs 1e-7."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
