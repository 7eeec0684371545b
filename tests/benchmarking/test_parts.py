"""What the parts measure beside times: bandwidths, parameters that stand still, cold and warm starts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from zerograd.benchmarking import matrix_part as matrix_module
from zerograd.benchmarking import step_part as step_module
from zerograd.benchmarking import update_half_part as update_module
from zerograd.benchmarking.matrix_part import LONGEST, measure_matrices, operations, products_a_second
from zerograd.benchmarking.model_shapes import Model
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import COPY, FUSED, INT8, OURS, Part
from zerograd.benchmarking.startup_part import PROGRAMS, fresh_process, measure_startup
from zerograd.benchmarking.step_part import ADAMW_BYTES, COPY_BYTES, INT8_BYTES, measure_step
from zerograd.benchmarking.tables import sentences, table_of
from zerograd.benchmarking.update_half_part import measure_update_half

LARGE = Model("large", ((1000, 1000),))


@pytest.fixture
def large_only(monkeypatch: pytest.MonkeyPatch, tiny_plan: Plan) -> Part:
    """The part `step` over one model that counts as large, in both dtypes."""
    monkeypatch.setattr(step_module, "STEP_MODELS", (LARGE,))
    monkeypatch.setattr(step_module, "ONE_LARGE", LARGE)
    part, rows = measure_step(replace(tiny_plan, largest=LARGE.numbers, low_precision=True))
    part.rows.extend(rows)
    return part


def test_large_models_are_measured_in_both_precisions(large_only: Part) -> None:
    combinations = [(row.details["optimizer"], row.details["dtype"]) for row in large_only.rows]
    assert combinations == [(name, dtype) for dtype in ("float32", "bfloat16") for name in ("SGD", "AdamW")]


def test_the_bandwidth_stands_beside_that_of_a_copy(large_only: Part) -> None:
    rows = [row for row in large_only.rows if row.gigabytes_per_second]
    assert [(row.details["optimizer"], row.details["dtype"]) for row in rows] == [("AdamW", "float32")]
    (row,) = rows
    assert (ADAMW_BYTES, COPY_BYTES) == (7 * 4, 2 * 4)
    assert row.gigabytes_per_second.keys() == row.timings.keys() >= {COPY, FUSED, OURS}
    for name, speed in row.gigabytes_per_second.items():
        moved = LARGE.numbers * {COPY: COPY_BYTES, INT8: INT8_BYTES}.get(name, ADAMW_BYTES)
        assert math.isclose(speed, moved / (row.timings[name].median * 1e3))
    assert any(f"{COPY} {row.gigabytes_per_second[COPY]:.1f}" in sentence for sentence in sentences(large_only))


def test_whose_parameters_stand_still_is_said(large_only: Part) -> None:
    for row in large_only.rows:
        assert OURS not in row.standing_still
    still = {name for row in large_only.rows for name in row.standing_still}
    starred = {note.split(" did not move")[0].removeprefix("* ") for note in large_only.notes if note[0] == "*"}
    assert still == starred


def test_models_beyond_the_plan_are_left_out(tiny_plan: Plan) -> None:
    small = replace(tiny_plan, largest=61)
    for make in (measure_step, measure_update_half):
        assert {row.details["numbers"] for row in make(small)[1]} == {61}


def test_the_update_half_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # what stands in for clip
    assert update_module.OUR_HYPERS["clip"] == update_module.LARGEST_NORM == 1.0


def test_a_cold_start_has_an_empty_folder_and_a_warm_one_the_same(
    tiny_plan: Plan, no_processes: list[tuple[str, str]]
) -> None:
    part, rows = measure_startup(tiny_plan)
    part.rows.extend(rows)
    ours = [folder for program, folder in no_processes if program == PROGRAMS[OURS]]
    assert len(ours) == 2 * tiny_plan.repetitions
    assert ours[0] == ours[1] != ours[2] == ours[3]
    cold, warm = part.rows
    assert cold.timings[OURS] != warm.timings[OURS]
    assert cold.timings[FUSED] == warm.timings[FUSED]
    assert table_of(part).row_count == 2


def test_a_fresh_process_gives_three_times(tmp_path: object) -> None:
    seconds = fresh_process(PROGRAMS[OURS], str(tmp_path))
    assert len(seconds) == 3
    assert all(second >= 0 for second in seconds)


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        fresh_process("raise ValueError('no such thing')", "")


def test_torch_draws_on_as_if_nothing_had_been_measured(tiny_plan: Plan) -> None:
    from zerograd.benchmarking.training_part import measure_training

    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert len(list(measure_training(replace(tiny_plan, largest=18_000))[1])) == 1
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="Muon is in torch.optim from 2.9 on")
def test_matrices_that_would_take_minutes_are_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch, tiny_plan: Plan
) -> None:
    small, large = Model("small", ((16, 16),) * 2), Model("large", ((16, 64),) * 2)
    assert (operations(small), operations(large)) == (2 * 16**3, 2 * 16 * 16 * 64)
    monkeypatch.setattr(matrix_module, "MODELS", (small, large))
    monkeypatch.setattr(matrix_module, "products_a_second", lambda: 15 * operations(small) / LONGEST)
    part, rows = measure_matrices(tiny_plan)
    assert [row.workload for row in rows] == ["Muon, small"]
    assert part.notes[-1] == "large is left out: products of bfloat16 are slow here, a step takes 20 s."


def test_the_speed_of_products_is_measured() -> None:
    assert 1e5 < products_a_second(64) < 1e14
