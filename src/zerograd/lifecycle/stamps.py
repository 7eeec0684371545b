"""The marks of a gradient's life: the stamp of the step that consumed it, and the window that was declared for a step.

A stamp is the gradient's version numbers, kept on the gradient itself: it goes when the gradient goes, keeps nothing
alive, and whatever writes to the gradient makes it differ. Writes that torch does not count (``.data``, NumPy, a raw
pointer) go unseen by it.
"""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

_STAMP = "_zerograd_consumed"


def versions(gradient: Tensor) -> tuple[int, int]:
    """How often torch has written to a gradient, and to the local part of one that is distributed."""
    return gradient._version, getattr(gradient, "_local_tensor", gradient)._version


def stamp(gradient: Tensor) -> None:
    """Mark a gradient as consumed by a step, as it is now."""
    setattr(gradient, _STAMP, versions(gradient))


def stamped(gradient: Tensor) -> tuple[int, int] | None:
    """The versions that a gradient had when a step consumed it; None if none has."""
    return getattr(gradient, _STAMP, None)


def is_consumed(gradient: Tensor) -> bool:
    """Whether a step has consumed this gradient and nothing has been written to it since."""
    return stamped(gradient) == versions(gradient)


class Declared:
    """A window of micro-batches that the user has declared: what their summed gradients are to be divided by."""

    divisor: float = 1.0

    def close(self) -> None:
        """The step has been taken."""


def scale_of_step(window: Declared | None, divide_by: Any, optimizer: str) -> float:
    """What the gradients of a step are multiplied by: for an explicit divisor, otherwise for the declared window.

    Raises TypeError or ValueError for a divisor that is no number above 0.
    """
    if divide_by is None:
        return 1.0 / window.divisor if window is not None else 1.0
    try:
        divisor = float(divide_by)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{optimizer}.step(divide_by=...) takes a number, such as how many batches were added up; "
            f"not {divide_by!r}"
        ) from None
    if not (divisor > 0 and math.isfinite(divisor)):
        raise ValueError(f"{optimizer}.step(divide_by={divide_by}): it must be finite and more than 0")
    return 1.0 / divisor
