"""Functions of two numbers to descend: the model is a point, and a run leaves its path behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from zerograd.training.task import Task, constant, no_samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = 241


@dataclass(frozen=True)
class Plane:
    """A function, where its minima are, where a descent begins, and what to show of it."""

    name: str
    formula: Callable[[Tensor, Tensor], Tensor]
    minima: tuple[tuple[float, float], ...]
    """All of them that are the lowest; the value there is 0."""
    start: tuple[float, float]
    x: tuple[float, float]
    y: tuple[float, float]

    def task(self, *, optimizer: str, lr: float, epochs: int, schedule: Callable[[float], float] = constant) -> Task:
        """To find a minimum; an epoch is a step, and no seed changes anything."""
        return Task(
            name=self.name,
            model=partial(Point, self),
            samples=no_samples,
            loss=value,
            optimizer=optimizer,
            lr=lr,
            epochs=epochs,
            batch_size="all",
            schedule=schedule,
            observe=position,
            picture=partial(path_on, self),
        )


class Point(nn.Module):
    """A point of the plane; what it gives is the function's value there."""

    def __init__(self, plane: Plane) -> None:
        super().__init__()
        self.formula = plane.formula
        self.position = nn.Parameter(torch.tensor(plane.start))

    def forward(self, inputs: Tensor) -> Tensor:
        """One value for each of the inputs, which are empty."""
        height: Tensor = self.formula(self.position[0], self.position[1])
        return height.expand(len(inputs))


def value(outputs: Tensor, targets: Tensor) -> Tensor:  # noqa: ARG001 - a loss is given targets
    """The function's value is the loss."""
    return outputs.mean()


def position(model: nn.Module) -> dict[str, float]:
    """Where the point is, for the record."""
    x, y = model.get_parameter("position").tolist()
    return {"x": x, "y": y}


def path_on(plane: Plane, lines: Sequence[Mapping[str, float]], title: str) -> Figure:
    """The path over the function's contours, and the value step by step."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    x, y = torch.linspace(*plane.x, GRID), torch.linspace(*plane.y, GRID)
    heights = plane.formula(x.expand(GRID, GRID), y.unsqueeze(1).expand(GRID, GRID))
    levels = torch.log10(heights.clamp(min=1e-3))

    figure = Figure(figsize=(9.0, 4.2), dpi=144, layout="constrained")
    figure.suptitle(title)
    contours, values = figure.subplots(1, 2)
    contours.contourf(x.numpy(), y.numpy(), levels.numpy(), levels=24, cmap="Greys_r", alpha=0.6)
    xs = [plane.start[0], *(line["x"] for line in lines)]
    ys = [plane.start[1], *(line["y"] for line in lines)]
    contours.plot(xs, ys, color="#0072b2", marker=".", markersize=3, linewidth=1, label="path")
    contours.plot(*plane.start, color="#0072b2", marker="o", linestyle="", label="start")
    contours.plot(*zip(*plane.minima, strict=True), "*", color="#d55e00", markersize=11, label="minimum")
    contours.set(xlim=plane.x, ylim=plane.y, xlabel="x", ylabel="y")
    contours.legend(loc="best", fontsize="small")

    values.plot([line["epoch"] for line in lines], [line["train_loss"] for line in lines], color="#0072b2")
    values.set(xlabel="step", ylabel=f"{plane.name}(x, y)", yscale="log")
    values.yaxis.set_minor_locator(NullLocator())
    values.grid(alpha=0.3)
    values.spines[["top", "right"]].set_visible(False)
    return figure
