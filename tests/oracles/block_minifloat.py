"""Block minifloats by their values, in float64: what a code stands for, and where between two codes a number lies.

Independent of the library's definition, which works on the bits of float32.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


def values(exponent: int, mantissa: int) -> Numbers:
    """What each code without a sign stands for, in units of the scale."""
    codes = np.arange(1 << (exponent + mantissa))
    steps = 1 << mantissa
    return (1 + (codes % steps) / steps) * 2.0 ** (codes // steps) - 1


def scale(largest: float, exponent: int, mantissa: int) -> float:
    """The smallest power of two in which the largest element, rounded up, has a code; float32's smallest at least."""
    steps = values(exponent, mantissa)
    power = 2.0**-126
    # The element is added to the scale in float32 first, and then rounded up by nearly a whole code.
    while (np.float32(largest) + np.float32(power)).astype(np.float64) / power - 1 > steps[-1]:
        power *= 2
    return power


def positions(x: Numbers, power: float, mantissa: int) -> Numbers:
    """Where numbers that are not negative lie among the codes: 3.25 is a quarter of the way from code 3 to code 4."""
    lifted = (np.float32(x) + np.float32(power)).astype(np.float64) / power
    octave = np.floor(np.log2(lifted))
    return (octave + lifted / 2**octave - 1) * (1 << mantissa)
