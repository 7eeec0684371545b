"""Common to all tests here: one thread, Keras on torch, nothing from the network."""

from __future__ import annotations

import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("ZEROGRAD_CACHE", str(Path(__file__).parents[1] / ".pytest_cache" / "kernels"))

import torch

torch.set_num_threads(1)
torch.manual_seed(0)  # for what is drawn while tests are collected


def pytest_runtest_setup() -> None:
    """Every test draws the same numbers each time and in any order: torch seeds itself anew in each process."""
    torch.manual_seed(0)
