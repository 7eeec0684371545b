"""Plans that take no time, and a start-up that starts nothing."""

from __future__ import annotations

import inspect
import itertools

import pytest

import zerograd
from zerograd.benchmarking import startup_part, update_half_part
from zerograd.benchmarking.plans import Budget, Plan

TINY_PLAN = Plan(Budget(seconds=0.0, rounds=3, warm_up=1), largest=100_000, low_precision=False, repetitions=2)

CLIPS = "clip" in inspect.signature(zerograd.AdamW).parameters


@pytest.fixture
def tiny_plan() -> Plan:
    """Three rounds, and no model of more than a hundred thousand numbers."""
    return TINY_PLAN


@pytest.fixture(autouse=True)
def _optimizers_that_may_not_clip_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    if not CLIPS:
        monkeypatch.delitem(update_half_part.OUR_HYPERS, "clip")


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The start-up is not measured but made up; the programs and folders that it would have used."""
    asked: list[tuple[str, str]] = []
    clock = itertools.count(1)

    def made_up(program: str, folder: str) -> list[float]:
        asked.append((program, folder))
        return [0.25 * next(clock), 0.5, 0.125]

    monkeypatch.setattr(startup_part, "fresh_process", made_up)
    return asked
