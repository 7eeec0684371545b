"""bfloat16 rounded stochastically: up or down, so that the mean is the exact value.

Rounded to the nearest, a small update to a large weight is lost every time; rounded so, it arrives on average. The
noise comes from a counter: the seed of the optimizer, the step, the tensor's number and the element's index give the
same bits on every device, for any number of threads, and torch's own generator is never touched.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zerograd.formats.plain import Format

BF16_STOCHASTIC = Format("bf16 stochastic", torch.bfloat16, 2, stochastic=True)

_MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
WEYL = 0x9E3779B9
"""2**32 / golden ratio: multiples of it fall evenly on the circle, for every run of consecutive indices."""


def mixed(z: int) -> int:
    """splitmix64's finaliser (Steele, Lea and Flood 2014): every bit of 64 depends on every bit of z."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def noise_start(seed: int, step: int, ordinal: int, stream: int) -> int:
    """Where the noise of one tensor starts in one step, of 32 bits.

    ordinal: number of the parameter in the optimizer. stream: 0 for the weight, 1, 2, ... for its states.
    """
    key = mixed((seed + GOLDEN * (2 * step + 1)) & _MASK)
    return mixed(key ^ mixed((GOLDEN * (ordinal * 64 + stream + 1)) & _MASK)) & 0xFFFFFFFF


def rounded(values: Tensor, start: int) -> Tensor:
    """float32 values of any shape as bfloat16; element i, in the order of memory, takes noise ``start + i * WEYL``.

    Infinities and nan stay what they are.
    """
    flat = values.to(torch.float32).as_strided((values.numel(),), (1,)).contiguous()
    index = torch.arange(flat.numel(), dtype=torch.int64, device=flat.device)
    noise = ((index * WEYL + start) & 0xFFFFFFFF) >> 16
    bits = flat.view(torch.int32).to(torch.int64) & 0xFFFFFFFF
    special = (bits & 0x7FFFFFFF) >= 0x7F800000
    high = (bits + noise) >> 16
    kept = (bits >> 16) | torch.where((bits & 0x7FFFFF) != 0, 0x40, 0)  # nan must not become infinity
    high = torch.where(special, kept, high)
    high = torch.where(high >= 0x8000, high - 0x10000, high).to(torch.int16)
    result = torch.empty_like(values, dtype=torch.bfloat16)
    result.as_strided((values.numel(),), (1,)).copy_(high.view(torch.bfloat16))
    return result
