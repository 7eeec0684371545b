"""A small transformer that writes the Python documentation, letter by letter: the help texts that Python brings along.

Over five seeds it comes from log(103) = 4.63 to 1.61 to 1.64 nats a letter on the windows kept (2.3 to 2.4 bits), and
guesses 54 % to 55 % of the letters right, in half a minute on one core. With Python 3.11: each version has texts of its
own.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from zerograd.training.extras import require_package
from zerograd.training.samples import Samples
from zerograd.training.task import Task, cosine

TIME = 64
"""So many letters are read at once."""
WIDTH, HEADS, BLOCKS = 64, 4, 2


class Block(nn.Module):
    """Attention to the letters before, then a layer for each letter; both add to what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH)
        self.question_key_value = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)
        self.each = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, time, width) to the same."""
        parts = self.question_key_value(self.before(x)).unflatten(2, (3, HEADS, -1))
        q, k, v = (part.transpose(1, 2) for part in parts.unbind(2))
        heard = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.project(heard.transpose(1, 2).flatten(2))
        y: Tensor = x + self.each(x)
        return y


class Writer(nn.Module):
    """Scores for the next letter at every place, (batch, letters, time): torch has the classes second."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letter = nn.Embedding(letters, WIDTH)
        self.place = nn.Embedding(TIME, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)), nn.LayerNorm(WIDTH))
        self.next = nn.Linear(WIDTH, letters)

    def forward(self, letters: Tensor) -> Tensor:
        """(batch, time) numbers of letters to scores."""
        x = self.letter(letters) + self.place.weight[: letters.shape[1]]
        scores: Tensor = self.next(self.blocks(x))
        return scores.transpose(1, 2)


@cache
def text() -> str:
    """All help topics, one after the other."""
    require_package("chars", "pydoc_data", "It is part of Python: install Python with its standard library whole.")
    from pydoc_data.topics import topics  # type: ignore[import-not-found,unused-ignore]

    return "\n".join(topics[name] for name in sorted(topics))


@cache
def alphabet() -> str:
    """The letters that occur, in the order of their numbers."""
    return "".join(sorted(set(text())))


def windows() -> tuple[Samples, Samples]:
    """Windows of ``TIME`` letters with the letters that follow each; of every ten windows the last one is kept."""
    number = {letter: index for index, letter in enumerate(alphabet())}
    letters = torch.tensor([number[letter] for letter in text()])
    whole = (len(letters) - 1) // TIME
    inputs = letters[: whole * TIME].view(whole, TIME)
    targets = letters[1 : whole * TIME + 1].view(whole, TIME)
    kept = torch.arange(whole) % 10 == 9
    return Samples(inputs[~kept], targets[~kept]), Samples(inputs[kept], targets[kept])


TASK = Task(
    name="chars",
    model=lambda: Writer(len(alphabet())),
    samples=windows,
    loss=nn.CrossEntropyLoss(),
    optimizer="AdamW",
    lr=3e-3,
    weight_decay=0.1,
    epochs=5,
    batch_size=32,
    schedule=cosine,
    count=Tensor.numel,
    unit="letters",
)
