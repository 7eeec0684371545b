"""bfloat16 rounded stochastically: up or down, so that the mean is the exact value.

Rounded to the nearest, a small update to a large weight is lost every time; rounded so, it arrives on average. The
noise comes from a counter: the seed of the optimizer, the step, the tensor's number and the element's index give the
same bits on every device, for any number of threads, and torch's own generator is never touched.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zerograd.formats.memory import positions
from zerograd.formats.plain import PLAIN, Format

BF16_STOCHASTIC = Format("bf16 stochastic", torch.bfloat16, 2, stochastic=True)

WEIGHT_FORMATS = {None: PLAIN, "stochastic": {**PLAIN, torch.bfloat16: BF16_STOCHASTIC}}
"""What ``weight_format=`` means: the format of a parameter by its dtype."""

_MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
FIRST, SECOND = 0x21F0AAAD, 0xD35A2D97
"""Multipliers of a hash of 32 bits with very little bias (Wellons 2018, "lowbias32")."""


def mixed(z: int) -> int:
    """splitmix64's finaliser (Steele, Lea and Flood 2014): every bit of 64 depends on every bit of z."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def step_key(seed: int, step: int) -> int:
    """The noise of one step, of 64 bits."""
    return mixed((seed + GOLDEN * (2 * step + 1)) & _MASK)


def stream_key(ordinal: int, stream: int) -> int:
    """The noise of one tensor, of 64 bits. ordinal: number of the parameter in the optimizer. stream: 0 for the weight,
    1, 2, ... for its states."""
    return mixed((GOLDEN * (ordinal * 64 + stream + 1)) & _MASK)


def noise_key(seed: int, step: int, ordinal: int, stream: int) -> int:
    """The key of the noise of one tensor in one step, of 64 bits."""
    return mixed(step_key(seed, step) ^ stream_key(ordinal, stream))


def noise(index: Tensor, key: int) -> Tensor:
    """16 random bits for each index, int64: the upper half of a hash of the index under both halves of the key.

    (A mere multiple of the index, as in Weyl's sequence, is as uniform, but then two elements keep their distance for
    ever: what one rounds up the other never does.)
    """
    low, high = key & 0xFFFFFFFF, key >> 32
    h = (index + low) & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * FIRST) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) + high) & 0xFFFFFFFF
    h = (h * SECOND) & 0xFFFFFFFF
    return (h ^ (h >> 15)) >> 16


def rounded(values: Tensor, key: int, like: Tensor | None = None) -> Tensor:
    """Values of any shape as bfloat16, through float32; element i takes the i-th noise under the key.

    i counts in the order of memory of ``like``, by default the values themselves. Infinities and nan stay as they are.
    """
    random = noise(positions(values if like is None else like), key)
    bits = values.to(torch.float32).view(torch.int32).to(torch.int64) & 0xFFFFFFFF
    special = (bits & 0x7FFFFFFF) >= 0x7F800000
    kept = (bits >> 16) | torch.where((bits & 0x7FFFFF) != 0, 0x40, 0)  # nan must not become infinity
    high = torch.where(special, kept, (bits + random) >> 16) & 0xFFFF
    return torch.where(high >= 0x8000, high - 0x10000, high).to(torch.int16).view(torch.bfloat16)
