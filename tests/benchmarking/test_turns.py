"""Contestants take turns: each once a round, prepared first, and without the garbage collector."""

from __future__ import annotations

import gc

import pytest
import torch

from zerograd.benchmarking.plans import Budget
from zerograd.benchmarking.turns import Timing, Turn, in_turns, threads_for


def test_every_contestant_has_one_turn_a_round_and_nobody_a_fixed_neighbour() -> None:
    calls: list[str] = []
    turns = {name: Turn(lambda name=name: calls.append(name)) for name in "abc"}  # type: ignore[misc]
    outcome = in_turns(turns, Budget(seconds=0.0, rounds=20, warm_up=0))
    assert outcome.rounds == 20
    assert list(outcome.timings) == ["a", "b", "c"]
    rounds = ["".join(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(rounds) == 20
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 2


def test_a_turn_is_prepared_before_it_is_called() -> None:
    seen: list[str] = []
    turn = Turn(lambda: seen.append("call"), prepare=lambda: seen.append("prepare"))
    in_turns({"one": turn}, Budget(seconds=0.0, rounds=2, warm_up=1))
    assert seen == ["prepare", "call"] * 3


@pytest.mark.parametrize("on", [True, False])
def test_garbage_is_collected_in_nobodys_turn(on: bool) -> None:
    states: list[bool] = []
    was_on = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        in_turns({"one": Turn(lambda: states.append(gc.isenabled()))}, Budget(seconds=0.0, rounds=3, warm_up=0))
        assert gc.isenabled() == on
    finally:
        (gc.enable if was_on else gc.disable)()
    assert states == [False] * 3


def test_a_timing_is_the_first_decile_and_the_median() -> None:
    assert Timing.of([float(value) for value in range(11)]) == Timing(p10=1.0, median=5.0)
    assert Timing.of([2.0]) == Timing(2.0, 2.0)


def test_tiny_models_run_on_one_thread_and_others_on_all() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threads_for(999_999) as count:
            assert count == torch.get_num_threads() == 1
        with threads_for(1_000_000) as count:
            assert count == torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_no_round_begins_after_the_time_is_up() -> None:
    calls: list[str] = []
    turns = {name: Turn(lambda name=name: calls.append(name)) for name in ("one", "other")}  # type: ignore[misc]
    outcome = in_turns(turns, Budget(seconds=60.0, rounds=1000, warm_up=5, at_most=0.0))
    assert outcome.rounds == 1
    assert sorted(calls) == ["one", "one", "other", "other"], "one warm-up and one round each"
