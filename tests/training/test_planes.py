"""Functions of two numbers: their minima are where they say, and a run finds them and draws its path."""

from __future__ import annotations

from importlib import import_module
from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from training.runs import read_record
from zerograd import optim
from zerograd.training.planes import Plane, path_on
from zerograd.training.tasks import task_named

REACHED = {"ackley": 1e-4, "beale": 1e-8, "booth": 1e-9, "himmelblau": 1e-9, "rastrigin": 1.0, "rosenbrock": 1e-9}
"""What the task's own run comes down to. In rastrigin's bowl that is the dent next to the lowest."""
by_name = pytest.mark.parametrize("name", REACHED)


def plane_of(name: str) -> Plane:
    plane: Plane = import_module(f"zerograd.training.tasks.{name}").PLANE
    return plane


@by_name
def test_a_minimum_is_0_and_flat(name: str) -> None:
    plane = plane_of(name)
    for x, y in plane.minima:
        point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
        height = plane.formula(point[0], point[1])
        (slope,) = torch.autograd.grad(height, point)
        # the coordinates have seven digits; ackley's cusp has every slope, and torch gives 0
        assert abs(height.item()) < 1e-9
        assert slope.abs().max() < 1e-3
    around = torch.tensor(plane.minima, dtype=torch.float64).T.unsqueeze(2) + 1e-2 * torch.randn(2, 1, 50)
    assert (plane.formula(*around) > 0).all()


@by_name
def test_the_tasks_own_settings_get_down(name: str) -> None:
    task = task_named(name)
    model = task.model()
    optimizer = getattr(optim, task.optimizer)(model.parameters(), lr=task.lr)
    scheduler = LambdaLR(optimizer, lambda step: task.schedule(step / task.epochs))
    inputs, targets = task.samples()[0].batch(torch.tensor([0]))
    for _ in range(task.epochs):
        optimizer.zero_grad()
        task.loss(model(inputs), targets).backward()
        optimizer.step()
        scheduler.step()
    assert task.loss(model(inputs), targets) < REACHED[name]


def test_a_run_keeps_its_path_and_draws_it(keep) -> None:  # type: ignore[no-untyped-def]
    folder = keep(task="himmelblau")
    lines = read_record(folder)
    plane = plane_of("himmelblau")
    for before, line in pairwise(lines[:20]):
        value = plane.formula(torch.tensor(before["x"]), torch.tensor(before["y"]))
        assert line["train_loss"] == pytest.approx(value.item(), rel=1e-4)  # the loss is the one before the step
    assert lines[-1]["train_loss"] < REACHED["himmelblau"]
    assert (folder / "curves.png").stat().st_size > 10_000


def test_the_picture_shows_the_path_from_the_start() -> None:
    plane = plane_of("himmelblau")
    lines = [
        {"epoch": 1.0, "train_loss": 5.0, "x": 1.0, "y": 0.5},
        {"epoch": 2.0, "train_loss": 1.0, "x": 2.0, "y": 1.5},
    ]
    figure = path_on(plane, lines, "himmelblau, SGD")
    contours, values = figure.axes
    path = next(line for line in contours.lines if line.get_label() == "path")
    assert path.get_xydata().tolist() == [[0.0, 0.0], [1.0, 0.5], [2.0, 1.5]]
    assert values.lines[0].get_ydata().tolist() == [5.0, 1.0]
