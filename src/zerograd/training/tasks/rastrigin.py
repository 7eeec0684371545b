"""Rastrigin's function: a bowl full of dents, in which small steps stay.

From (3.4, -2.7), in a dent of height 18, SGD with lr 0.05 and a falling rate gets as far as (-1, 0), height 1, next to
the lowest. With lr 0.01 it stays where it began: no descent here is sure to find the lowest dent.
"""

import math

import torch
from torch import Tensor

from zerograd.training.planes import Plane
from zerograd.training.task import cosine


def height(x: Tensor, y: Tensor) -> Tensor:
    """0 at (0, 0). Rastrigin, 1974."""
    return 20 + x**2 + y**2 - 10 * (torch.cos(2 * math.pi * x) + torch.cos(2 * math.pi * y))


PLANE = Plane("rastrigin", height, minima=((0.0, 0.0),), start=(3.4, -2.7), x=(-5.12, 5.12), y=(-5.12, 5.12))
TASK = PLANE.task(optimizer="SGD", lr=0.05, epochs=200, schedule=cosine)
