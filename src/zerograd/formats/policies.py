"""What ``state_format=`` means: which format a state gets, from its parameter's shape and dtype. Knows no rule.

Every process of a distributed run has to decide alike, so only the shape of the whole parameter counts, never that of
the part which a process holds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from zerograd.formats.plain import FP32, Format
from zerograd.formats.stochastic import BF16_STOCHASTIC

SMALLEST = 4096
"""Elements below which 8 bits save nothing worth having."""

LARGE_VECTOR = 1 << 20
"""Elements from which on a tensor of one dimension is no bias or gain, but a flat buffer of many weights."""

VOCABULARY, TALL = 16_384, 8
"""So many rows, and more than so many times as many as columns: the table of a vocabulary."""

_SERVED = (torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True)
class Int8:
    """States in 8 bits: ``state_format=Int8(...)``; ``"int8"`` means all defaults.

    wide: formats with twice as many octaves and half as many codes in each: errors of about 12 % for any data within
    five decades, where the usual ones have 7 % within two and a half. signed: whether a state may be negative; by
    default the rule tells. smallest: parameters of fewer elements keep plain states. embeddings: whether tables of a
    vocabulary (two dimensions, 16,384 rows or more, and over eight times as many as columns) are served too. vectors:
    whether parameters of one dimension are served too, which else they are from 2^20 elements on, as flat buffers are.

    Complex and float64 parameters keep plain states. Raises TypeError for an option of another type.
    """

    wide: bool = False
    signed: bool | None = None
    smallest: int = SMALLEST
    embeddings: bool = False
    vectors: bool = False

    def __post_init__(self) -> None:
        for name in ("wide", "embeddings", "vectors"):
            if not isinstance(value := getattr(self, name), bool):
                raise TypeError(f"Int8({name}={value!r}): it is True or False")
        if self.signed is not None and not isinstance(self.signed, bool):
            raise TypeError(f"Int8(signed={self.signed!r}): it is True, False or, for what the rule tells, None")
        if isinstance(self.smallest, bool) or not isinstance(self.smallest, int):
            raise TypeError(f"Int8(smallest={self.smallest!r}): it is a number of elements, such as {SMALLEST}")

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Why the states of such a parameter, of a dtype that is served, stay plain; None if they do not."""
        if math.prod(shape) < max(1, self.smallest):
            return f"fewer than {self.smallest:,} elements"
        if len(shape) < 2 and not self.vectors and math.prod(shape) < LARGE_VECTOR:
            return "one dimension"
        if not self.embeddings and len(shape) == 2 and shape[0] >= VOCABULARY and shape[0] > TALL * shape[1]:
            return "the table of a vocabulary"
        return None


PLAIN_STATES: dict[str, Format] = {"fp32": FP32, "bf16": BF16_STOCHASTIC}
"""Formats that are a dtype: of states of real parameters of at most 32 bits. bfloat16 is rounded stochastically."""

NAMES = (*PLAIN_STATES, "int8")

Policy = Int8 | str
"""One of ``NAMES`` or an Int8."""


def is_noisy(policy: Policy | None) -> bool:
    """Whether the states that it decides on are rounded with noise."""
    return policy is not None and policy != "fp32"


def serves(dtype: torch.dtype) -> bool:
    """Whether formats may be chosen for the states of a parameter of this dtype."""
    return dtype in _SERVED
