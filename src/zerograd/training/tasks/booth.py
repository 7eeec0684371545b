"""Booth's function: a bowl nine times as steep one way as the other.

What is left of the distance SGD divides by ten with every few steps: 100 of them reach the last digit.
"""

from torch import Tensor

from zerograd.training.planes import Plane


def height(x: Tensor, y: Tensor) -> Tensor:
    """0 at (1, 3)."""
    return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2


PLANE = Plane("booth", height, minima=((1.0, 3.0),), start=(-8.0, -6.0), x=(-10.0, 10.0), y=(-10.0, 10.0))
TASK = PLANE.task(optimizer="SGD", lr=0.05, epochs=100)
