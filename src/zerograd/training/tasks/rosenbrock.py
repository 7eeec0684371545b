"""Rosenbrock's valley: easy to find, long, bent and nearly flat to follow.

From the classic start (-1.2, 1) Adam with lr 0.3 is in the valley after a few steps and follows it for hundreds: 1000
steps come down to 9e-12.
"""

from torch import Tensor

from zerograd.training.planes import Plane


def height(x: Tensor, y: Tensor) -> Tensor:
    """0 at (1, 1). Rosenbrock, 1960."""
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


PLANE = Plane("rosenbrock", height, minima=((1.0, 1.0),), start=(-1.2, 1.0), x=(-2.0, 2.0), y=(-1.0, 3.0))
TASK = PLANE.task(optimizer="Adam", lr=0.3, epochs=1000)
