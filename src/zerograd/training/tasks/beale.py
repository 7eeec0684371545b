"""Beale's function: a flat plain between steep walls.

From (1, 1), in the plain, Adam with lr 0.1 comes down to 3e-11 in 300 steps.
"""

from torch import Tensor

from zerograd.training.planes import Plane


def height(x: Tensor, y: Tensor) -> Tensor:
    """0 at (3, 0.5). Beale, 1958."""
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


PLANE = Plane("beale", height, minima=((3.0, 0.5),), start=(1.0, 1.0), x=(-4.5, 4.5), y=(-4.5, 4.5))
TASK = PLANE.task(optimizer="Adam", lr=0.1, epochs=300)
