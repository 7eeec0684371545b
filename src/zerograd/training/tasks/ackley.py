"""Ackley's function: a funnel with a hundred dents, and a cusp at its bottom.

From (2.6, -1.8) SGD with lr 0.1 and a falling rate jumps over the dents and comes to 0. Adam with lr 0.3, whose
steps are smaller, ends in the dent where it began.
"""

import math

import torch
from torch import Tensor

from zerograd.training.planes import Plane
from zerograd.training.task import cosine


def height(x: Tensor, y: Tensor) -> Tensor:
    """0 at (0, 0). Ackley, 1987."""
    distance = torch.linalg.vector_norm(torch.stack([x, y]), dim=0)  # unlike a square root it has a gradient at 0
    far = -20 * torch.exp(-0.2 * distance / math.sqrt(2))
    dents = torch.exp((torch.cos(2 * math.pi * x) + torch.cos(2 * math.pi * y)) / 2)
    return far - dents + math.e + 20


PLANE = Plane("ackley", height, minima=((0.0, 0.0),), start=(2.6, -1.8), x=(-4.0, 4.0), y=(-4.0, 4.0))
TASK = PLANE.task(optimizer="SGD", lr=0.1, epochs=200, schedule=cosine)
