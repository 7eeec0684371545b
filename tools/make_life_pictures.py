"""Draw the pictures of docs/life_of_a_gradient.md from real runs on the handwritten digits: about a minute.

python tools/make_life_pictures.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

import zerograd as optim

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"
STEPS, BATCH, MICRO = 200, 64, 4

Losses = list[float]


def digits() -> tuple[Tensor, Tensor]:
    """All images and their classes."""
    found = load_digits()
    return torch.tensor(found.data, dtype=torch.float32) / 16, torch.tensor(found.target)


def network() -> nn.Module:
    """The digits' MLP, always from the same start."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def trained(make: Callable[[Any], Any], cycle: Callable[..., None]) -> Losses:
    """The loss on all images after each step."""
    inputs, targets = digits()
    model = network()
    optimizer = make(model.parameters())
    order = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(STEPS):
        chosen = torch.randint(len(inputs), (BATCH,), generator=order)
        cycle(model, optimizer, inputs[chosen], targets[chosen])
        with torch.no_grad():
            losses.append(nn.functional.cross_entropy(model(inputs), targets).item())
    return losses


def right(model: nn.Module, optimizer: Any, inputs: Tensor, targets: Tensor) -> None:
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()


def forgotten(model: nn.Module, optimizer: Any, inputs: Tensor, targets: Tensor) -> None:
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()


def exact_window(model: nn.Module, optimizer: Any, inputs: Tensor, targets: Tensor) -> None:
    micro = list(zip(inputs.split(BATCH // MICRO), targets.split(BATCH // MICRO), strict=True))
    for batches in optim.accumulate(micro, optimizer, every=MICRO):
        optimizer.zero_grad()
        for x, y in batches:
            batches.backward(nn.functional.cross_entropy(model(x), y), n=len(x))
        optimizer.step()


def cleared_window(model: nn.Module, optimizer: Any, inputs: Tensor, targets: Tensor) -> None:
    for x, y in zip(inputs.split(BATCH // MICRO), targets.split(BATCH // MICRO), strict=True):
        optimizer.zero_grad()
        (nn.functional.cross_entropy(model(x), y) / MICRO).backward()
    optimizer.step()


def draw(name: str, panels: dict[str, dict[str, tuple[Losses, str, str]]]) -> None:
    """One picture: panels with curves of (losses, colour, line style)."""
    figure = Figure(figsize=(4.6 * len(panels), 3.4), dpi=100, layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, (losses, color, style) in curves.items():
            axes.plot(range(1, STEPS + 1), losses, color=color, linestyle=style, label=label)
        axes.set(title=title, xlabel="step", ylabel="loss on all digits", yscale="log")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(IMAGES / name)


def main() -> None:
    """Draw both."""
    torch.set_num_threads(1)  # small matrices
    makers: dict[str, Callable[[Any], Any]] = {
        "SGD": lambda params: optim.SGD(params, lr=0.5),
        "Adam": lambda params: optim.Adam(params, lr=0.01),
    }
    draw(
        "life-forgotten.png",
        {
            name: {
                "zero_grad": (trained(make, right), BLUE, "-"),
                "zero_grad forgotten": (trained(make, forgotten), ORANGE, "-"),
            }
            for name, make in makers.items()
        },
    )
    draw(
        "life-window.png",
        {
            "SGD, windows of 4 micro-batches": {
                "the whole batch at once": (trained(makers["SGD"], right), GREY, "-"),
                "accumulate": (trained(makers["SGD"], exact_window), BLUE, "--"),
                "cleared in every micro-batch": (trained(makers["SGD"], cleared_window), ORANGE, "-"),
            }
        },
    )


if __name__ == "__main__":
    main()
