"""The machine that something was measured on."""

from __future__ import annotations

import os
import platform
from datetime import datetime, timezone
from pathlib import Path

import torch

import zerograd
from zerograd.kernels.cpu.machine import CodeError
from zerograd.kernels.cpu.tiles import coder_name


def machine_facts() -> dict[str, object]:
    """What has to stand beside a measurement, but for the load."""
    return {
        "processor": processor_name(),
        "codes": _codes(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "zerograd": zerograd.__version__,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _codes() -> str | None:
    """What states in 8 bits are coded with; None where the compiler chooses, or where there are no kernels."""
    try:
        return coder_name()
    except CodeError:
        return None


def processor_name() -> str:
    """The processor's name as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def load_average() -> list[float] | None:
    """How many processes wanted to run, on average over the last 1, 5 and 15 minutes; None where nobody counts."""
    try:
        return [round(load, 2) for load in os.getloadavg()]
    except (AttributeError, OSError):
        return None
