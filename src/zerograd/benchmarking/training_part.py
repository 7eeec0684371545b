"""Whole training steps: zero_grad, forward, loss, backward, step. The samples are random, of the right shapes."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import zerograd
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import DEFAULT, FUSED, OURS, Part, Row
from zerograd.benchmarking.turns import TINY, Turn, in_turns, threads_for

HYPERS: dict[str, Any] = {"lr": 1e-4}
BATCHES = 32
"""How many batches take turns: enough that no network learns them by heart."""

LETTERS, CONTEXT, WIDTH = 65, 64, 128


class Letters(nn.Module):
    """A small transformer that reads letters and guesses the next one: a million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(LETTERS, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, nhead=4, dim_feedforward=4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, num_layers=5, norm=nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, LETTERS)
        self.register_buffer("future", nn.Transformer.generate_square_subsequent_mask(CONTEXT))

    def forward(self, text: Tensor) -> Tensor:
        x = self.letters(text) + self.places.weight
        x = self.layers(x, mask=self.future, is_causal=True)
        return self.head(x).flatten(0, 1)  # type: ignore[no-any-return]


def digits_mlp() -> nn.Module:
    """For images of 8 x 8 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10))


def small_cnn() -> nn.Module:
    """For images of 28 x 28 pixels."""
    return nn.Sequential(
        nn.Conv2d(1, 16, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


def images(size: int) -> tuple[Tensor, Tensor]:
    """A batch of 64 images with their classes."""
    return torch.rand(64, 1, size, size), torch.randint(10, (64,))


def texts() -> tuple[Tensor, Tensor]:
    """A batch of 16 texts with the letters that follow."""
    return torch.randint(LETTERS, (16, CONTEXT)), torch.randint(LETTERS, (16 * CONTEXT,))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], tuple[Tensor, Tensor]]]] = {
    "digits MLP": (digits_mlp, lambda: images(8)),
    "CNN on 28 x 28 pixels": (small_cnn, lambda: images(28)),
    "transformer on letters": (Letters, texts),
}


def measure_training(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it as they are measured."""
    part = Part("training", "a whole training step with AdamW", "microseconds")
    return part, _rows(plan)


def _rows(plan: Plan) -> Iterator[Row]:
    for name, (network, batch) in NETWORKS.items():
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            model = network()
            batches = [batch() for _ in range(BATCHES)]
        numbers = sum(p.numel() for p in model.parameters())
        if numbers > plan.largest:
            continue
        turns = {label: Turn(step) for label, (_, step) in training_steps(model, batches).items()}
        with threads_for(numbers) as threads:
            outcome = in_turns(turns, plan.budget)
        details = {
            "tensors": len(list(model.parameters())),
            "numbers": numbers,
            "batch": list(batches[0][0].shape),
            "optimizer": "AdamW",
            "hyperparameters": HYPERS,
            "dtype": "float32",
        }
        yield Row(_in_words(name, numbers), outcome.timings, threads, outcome.rounds, details)


def training_steps(
    model: nn.Module, batches: list[tuple[Tensor, Tensor]]
) -> dict[str, tuple[nn.Module, Callable[[], None]]]:
    """For each contestant a copy of the model, and a call that trains it with the next batch."""
    makers: dict[str, Callable[[Any], Any]] = {
        DEFAULT: lambda params: torch.optim.AdamW(params, **HYPERS),
        FUSED: lambda params: torch.optim.AdamW(params, fused=True, **HYPERS),
        OURS: lambda params: zerograd.AdamW(params, **HYPERS),
    }
    steps = {}
    for label, make in makers.items():
        own = copy.deepcopy(model)
        steps[label] = own, training_step(own, make(own.parameters()), batches)
    return steps


def training_step(model: nn.Module, optimizer: Any, batches: list[tuple[Tensor, Tensor]]) -> Callable[[], None]:
    """A call that trains a model with the next batch."""
    loss_fn = nn.CrossEntropyLoss()
    endless = itertools.cycle(batches)

    def trained() -> None:
        inputs, targets = next(endless)
        optimizer.zero_grad()
        loss = loss_fn(model(inputs), targets)
        loss.backward()
        optimizer.step()

    return trained


def _in_words(name: str, numbers: int) -> str:
    return f"{name}, {numbers / 1e6:.1f}M" if numbers >= TINY else f"{name}, {numbers / 1e3:.0f}k"
