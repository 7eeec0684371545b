"""Biased block minifloats: one byte an element, and for each group of elements a power of two that scales it.

A byte is a small float without a hidden zero: code c of a group with scale B stands for
``B * ((1 + (c mod 2^Y) / 2^Y) * 2^(c >> Y) - 1)``, linear near zero and logarithmic above, with Y bits of mantissa.
Signed formats have a sign bit on top. Codes are rounded stochastically with noise from a counter, so that the mean of
what is stored is the exact value: rounded to the nearest, an average that moves by less than half a code a step never
moves at all. Formats without a sign have no code for zero (but in buffers that were never written), so that nothing is
divided by the root of a zero that was only rounded.

This is the one definition. Every backend runs or prints it through its own ``Arithmetic``: on words of 32 bits that
wrap round, and on float32 numbers, whose additions may neither be reordered nor merged with a product. ``joined`` is
the lower word of what two words side by side leave when they are shifted right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from zerograd.formats.plain import Format

GROUP = 128
"""Elements that share a scale."""

WEYL = 0x9E3779B9
"""Noise of element i is i times this plus the tensor's key, in 32 bits: the golden ratio's multiples spread evenly."""

_POISON, _INFINITE, _MAGNITUDE = 0x7FC00000, 0x7F800000, 0x7FFFFFFF


class Arithmetic(Protocol):
    """What a codec is made of. Words and numbers are whatever the backend has; plain ints and floats are constants."""

    def bits(self, number: Any) -> Any: ...
    def number(self, word: Any) -> Any: ...
    def size(self, number: Any) -> Any: ...
    def plus(self, x: Any, y: Any) -> Any: ...
    def minus(self, x: Any, y: Any) -> Any: ...
    def add(self, a: Any, b: Any) -> Any: ...
    def sub(self, a: Any, b: Any) -> Any: ...
    def left(self, a: Any, places: int) -> Any: ...
    def right(self, a: Any, places: int) -> Any: ...
    def joined(self, upper: Any, lower: Any, places: int) -> Any: ...
    def both(self, a: Any, b: Any) -> Any: ...
    def either(self, a: Any, b: Any) -> Any: ...
    def at_least(self, a: Any, limit: int) -> Any: ...
    def no_less(self, a: Any, limit: int) -> Any: ...
    def chosen(self, condition: Any, a: Any, b: Any) -> Any: ...


@dataclass(frozen=True)
class BlockFormat(Format):
    """A format of groups. exponent, mantissa: bits of each, X and Y. signed: whether there is a sign bit too.

    ``name`` stands in checkpoints, in the key of the scales, and must not change its meaning.
    """

    exponent: int = 0
    mantissa: int = 0
    signed: bool = False

    @property
    def shift(self) -> int:
        """Places from a code to the bits of a float32: the code is what is left of it above."""
        return 23 - self.mantissa

    @property
    def octaves(self) -> int:
        """Doublings from the smallest to the largest code: the scale lies so far below the largest element."""
        return (1 << self.exponent) - 1

    @property
    def margin(self) -> int:
        """Added to the bits of the largest element before its exponent is read: then even rounded up its code fits."""
        return (1 << self.shift) + (1 << (23 - self.octaves) if self.octaves <= 23 else 0) - 1

    @property
    def top(self) -> int:
        """The largest code without its sign."""
        return (1 << (self.exponent + self.mantissa)) - 1

    # The codec. ``on``: the arithmetic of a backend.

    def decoded(self, on: Arithmetic, code: Any, scale: Any) -> Any:
        """The number that a code (a word) stands for in a group of this scale."""
        lifted = on.add(on.left(on.both(code, self.top), self.shift), on.bits(scale))
        return self.lowered(on, lifted, scale, on.left(code, 24) if self.signed else None)

    def lowered(self, on: Arithmetic, lifted: Any, scale: Any, signs: Any) -> Any:
        """The number, from the word that is a code's place above its scale. signs: a word whose highest bit is its."""
        value = on.minus(on.number(lifted), scale)
        return on.number(on.either(on.bits(value), on.both(signs, 0x80000000))) if self.signed else value

    def measured(self, on: Arithmetic, value: Any) -> Any:
        """A word for a number; the largest of a group, as words without a sign are compared, decides the scale.

        nan and infinities are larger than all else; in a format without a sign, so are numbers below zero.
        """
        return on.both(on.bits(value), _MAGNITUDE) if self.signed else on.bits(on.plus(value, 0.0))

    def scale(self, on: Arithmetic, largest: Any) -> Any:
        """The scale of a group, from the largest of its words: a power of two, or nan for the whole group."""
        exponent = on.right(on.add(largest, self.margin), 23)
        power = on.left(on.no_less(on.sub(exponent, self.octaves), 1), 23)
        return on.number(on.chosen(on.at_least(largest, _INFINITE - self.margin), _POISON, power))

    def encoded(self, on: Arithmetic, value: Any, scale: Any, noise: Any) -> Any:
        """The code of a number in the lowest 8 bits of a word. noise: a word, of which the upper bits count."""
        size = on.size(value) if self.signed else value
        code = on.right(self.above(on, size, scale, self.base(on, scale), noise), self.shift)
        if self.signed:
            return on.either(code, on.both(on.right(on.bits(value), 24), 0x80))
        return on.no_less(code, 1)

    def base(self, on: Arithmetic, scale: Any) -> Any:
        """What takes the scale away again, above the noise: a scale has no bits below, so nothing of it is lost."""
        return on.right(on.sub(0, on.bits(scale)), self.shift)

    def above(self, on: Arithmetic, size: Any, scale: Any, base: Any, noise: Any) -> Any:
        """A word whose bits from ``shift`` on are the code of a number without its sign and before it is bounded."""
        return on.add(on.bits(on.plus(size, scale)), on.joined(base, noise, 32 - self.shift))


def _block(exponent: int, mantissa: int, signed: bool) -> BlockFormat:
    name = f"{'' if signed else 'u'}bmf{exponent}{mantissa}"
    return BlockFormat(name, torch.uint8, 1, True, exponent, mantissa, signed)


BMF34, UBMF44 = _block(3, 4, True), _block(4, 4, False)
"""The usual pair: averages of gradients, and of their squares."""

BMF43, UBMF53 = _block(4, 3, True), _block(5, 3, False)
"""The wide pair: an octave has half as many codes, and there are twice as many octaves. BMF43 is also for a first
moment whose second moment is not in 8 bits and so has no smallest code to bound what is divided by it."""

BLOCKS = {form.name: form for form in (BMF34, UBMF44, BMF43, UBMF53)}


def row_length(shape: Sequence[int], group: int = GROUP) -> int:
    """Elements of a row of groups: no group reaches beyond the row that it starts in.

    A row is all that has one index in the first dimension; where that is less than a group, as many as fit into one.
    """
    size = math.prod(shape[1:])
    return size if size >= group else group // max(size, 1) * max(size, 1)


def scales_shape(shape: Sequence[int], group: int = GROUP) -> tuple[int, int]:
    """The shape of the scales of a tensor: rows, and groups in a row."""
    length = row_length(shape, group)
    return -(-math.prod(shape) // length), -(-length // group)


def scales_key(state: str, form: BlockFormat, group: int = GROUP) -> str:
    """The key under which the scales of a state stand beside its codes: it says all that is needed to read them."""
    return f"{state}_scale_{form.name}_{group}"


def read_key(state: str, key: object) -> tuple[BlockFormat, int] | None:
    """The format and the size of groups that a key tells; None if it is no key of this state's scales.

    Raises ValueError for a key of scales in a format that is not known here.
    """
    prefix = f"{state}_scale_"
    if not isinstance(key, str) or not key.startswith(prefix):
        return None
    name, _, group = key[len(prefix) :].rpartition("_")
    if name not in BLOCKS or not group.isdigit() or int(group) < 1:
        raise ValueError(f"{key}: scales of a format that is not known here; known are {', '.join(BLOCKS)}")
    return BLOCKS[name], int(group)
