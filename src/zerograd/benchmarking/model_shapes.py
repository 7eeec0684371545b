"""The models, as the shapes of their parameters: an optimizer sees no more of a model than these."""

from __future__ import annotations

import math
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """A name for tables, and the shapes of the parameters."""

    name: str
    shapes: tuple[Shape, ...]

    @property
    def numbers(self) -> int:
        """How many numbers the parameters have together."""
        return sum(math.prod(shape) for shape in self.shapes)


def gpt2_shapes(width: int, vocabulary: int, *, context: int = 1024, layers: int = 12) -> tuple[Shape, ...]:
    """The parameters of a GPT-2 of this width: two embeddings, the layers, the last norm. The head is tied."""
    norm: tuple[Shape, ...] = ((width,), (width,))
    attention: tuple[Shape, ...] = ((3 * width, width), (3 * width,), (width, width), (width,))
    mlp: tuple[Shape, ...] = ((4 * width, width), (4 * width,), (width, 4 * width), (width,))
    return ((vocabulary, width), (context, width), *(norm + attention + norm + mlp) * layers, *norm)


SEED = Model("seed", ((5, 10), (5,), (1, 5), (1,)))
MANY = Model("1000 tensors of 64", ((8, 8),) * 1000)
MLP = Model("MLP of 200k", ((256, 64), (256,), (512, 256), (512,), (100, 512), (100,)))
GPT2 = Model("148 GPT-2-shaped tensors, 20M", gpt2_shapes(width=320, vocabulary=15_232))
ONE_LARGE = Model("one tensor of 50M", ((50_000_000,),))

STEP_MODELS = (SEED, MANY, MLP, GPT2, ONE_LARGE)
UPDATE_MODELS = (SEED, GPT2, ONE_LARGE)
