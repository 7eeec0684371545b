"""Two functions to keep on disk, and who loads what."""

from __future__ import annotations

import os
from pathlib import Path

from kernels.cpu.running import adding
from zerograd.kernels.cpu import cache, machine

GOOD, TRAP = adding(41), adding(666)


def entry(place: Path, source: str = GOOD) -> Path:
    """The file that a source's code is kept in."""
    return place / f"{machine.digest(source)}.o"


def set_a_trap(place: Path) -> Path:
    """Keep code under the good name that gives another answer: it shows who loads it."""
    cache.write(machine.digest(GOOD), machine.compiled(TRAP))
    return entry(place)


def names(place: Path) -> list[str]:
    return sorted(os.listdir(place)) if place.is_dir() else []
