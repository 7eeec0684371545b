"""Plans that take no time, and a start-up that starts nothing."""

from __future__ import annotations

import itertools

import pytest

from zerograd.benchmarking import startup_part
from zerograd.benchmarking.plans import Budget, Plan

TINY_PLAN = Plan(Budget(seconds=0.0, rounds=3, warm_up=1), largest=100_000, low_precision=False, repetitions=2)


@pytest.fixture
def tiny_plan() -> Plan:
    """Three rounds, and no model of more than a hundred thousand numbers."""
    return TINY_PLAN


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
