"""`grad += ` can be seen: what backward leaves is what it found plus the fresh gradient."""

import itertools
import math
import re

import pytest
import torch

from training.runs import prepared, read_record
from zerograd.training.lesson import descend, steepest_weight
from zerograd.training.lesson_report import teach_zero_grad
from zerograd.training.settings import Settings


def accumulations(*, forget, **settings):
    run = prepared(task="seed", epochs=20, **settings)
    descents = descend(run, steepest_weight(run), forget_zero_grad=forget)
    return [step for descent in descents for step in descent.accumulations]


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("optimizer", ["SGD", "AdamW"])
@pytest.mark.parametrize("batch_size", ["all", 2])
def test_before_plus_fresh_is_after_to_the_last_bit(forget, optimizer, batch_size):
    for step in accumulations(forget=forget, optimizer=optimizer, batch_size=batch_size):
        assert (torch.tensor(step.before) + torch.tensor(step.fresh)).item() == step.after


def test_with_zero_grad_every_sum_starts_at_0():
    for step in accumulations(forget=False):
        assert step.before == 0.0
        assert step.after == step.fresh != 0.0


def test_without_zero_grad_the_sum_goes_on_where_it_was():
    steps = accumulations(forget=True)
    assert all(later.before == earlier.after for earlier, later in itertools.pairwise(steps))
    assert math.isclose(steps[-1].after, sum(step.fresh for step in steps), rel_tol=1e-5)


def test_the_right_descent_is_the_training_loops(keep, tmp_path, log):
    teach_zero_grad(Settings(task="seed", forget_zero_grad=True, out=tmp_path / "lesson", epochs=8), log)
    lesson = [line["train_loss"] for line in read_record(tmp_path / "lesson")]
    assert lesson == [line["train_loss"] for line in read_record(keep(task="seed", epochs=8))]


def test_the_lesson_shows_its_numbers_and_keeps_its_picture(tmp_path, log):
    teach_zero_grad(Settings(task="seed", forget_zero_grad=True, out=tmp_path), log)
    shown = log.file.getvalue()
    rows = [[float(n) for n in re.findall(r"[+-]\d+\.\d+", line)] for line in shown.splitlines()]
    rows = [row for row in rows if len(row) == 5]
    assert len(rows) >= 5
    for fresh, grad, before, added, total in rows:
        assert fresh == grad
        assert total == pytest.approx(before + added, abs=1.5e-6)  # each of the three is rounded to six places
    assert max(len(line) for line in shown.splitlines() if str(tmp_path) not in line) <= 80

    said = " ".join(shown.split())
    assert said.count("missing-zero-grad") == 1, "of the wrong descent only"
    assert "ZG101 missing-zero-grad: step 2 of SGD at lesson.py:" in said

    record = read_record(tmp_path)
    assert len(record) == 200
    assert record[0]["train_loss"] == record[0]["train_loss_without_zero_grad"]
    assert record[-1]["train_loss_without_zero_grad"] > 10 * record[-1]["train_loss"]
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "config.json").exists()
    assert (tmp_path / "model.safetensors").exists()


def test_a_descent_that_explodes_is_still_a_lesson(tmp_path, log):
    teach_zero_grad(Settings(task="seed", forget_zero_grad=True, lr=10.0, epochs=60, out=tmp_path), log)
    assert read_record(tmp_path)[-1]["train_loss_without_zero_grad"] is None
