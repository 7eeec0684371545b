"""What makes numbers from codes of 8 bits in registers and codes from numbers: one coder for each kind of processor."""

from __future__ import annotations

from typing import Protocol

from zerograd.formats.blocks import WEYL, BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.registers import Registers
from zerograd.kernels.cpu.words import alike, lanes

BEHIND, SLOTS = 3, 4
"""How many tiles later codes are made, when the group of a tile has ended and its scale is there; and the tiles kept
meanwhile, more than that and a power of two, for tiles and groups find their slot by a mask."""


class Coder(Protocol):
    """Lines that decode and encode. ``k``: the number of a state; ``scope``: its alias scope."""

    name: str
    """What people call those features."""
    features: tuple[str, ...]
    """What a processor must have, by LLVM's names."""
    registers: Registers
    apart: bool
    """Whether a root or a quotient is computed a turn after what it needs, and not right behind it. With AVX2 that
    makes a tile 6 hundredths shorter: operations that wait fill up what the processor can keep in mind."""
    ahead: int
    """Elements ahead that memory is asked for."""
    kept_signs: str
    """What holds the signs of a tile while it waits: a type."""
    declared: tuple[str, ...]
    """What its lines call, as declared after ``declare``."""

    def lasting(self) -> list[str]:
        """What holds for all tiles of a chunk."""

    def loaded(self, k: int, form: BlockFormat, scope: str) -> list[str]:
        """What is done once a tile before its codes are decoded; ``%sK.all`` is the scale of its group."""

    def unpacked(self, k: int, form: BlockFormat, name: str, turn: int, scope: str) -> list[str]:
        """``name`` becomes the numbers that the codes of a turn stand for."""

    def signed(self, k: int, bits: str, turn: int) -> list[str]:
        """The signs of a turn's new numbers, which are read as words, are put aside."""

    def base(self, form: BlockFormat, words: Words, scale: str) -> str:
        """A word that is kept for each group beside its scale, for ``packed`` of the same coder alone."""

    def packed(self, k: int, form: BlockFormat, scale: list[str], scope: str) -> list[list[str]]:
        """The codes of a tile, in parts that may go between other lines.

        scale: lines that load the scale of the group into ``%cK.scale.old``.
        """

    def signs(self, k: int, name: str) -> list[str]:
        """``name`` becomes bytes with the signs of the numbers at ``%rest.turn``, in their highest bit."""


def sized(registers: Registers, k: int, turn: int) -> list[str]:
    """Of the numbers that wait in a slot, those of a turn and their noise."""
    x = f"%c{k}.{turn}"
    step = alike(registers.size, "i32", turn * registers.size * WEYL & 0xFFFFFFFF)
    return [
        f"{x}.noise = add {registers.words} %noise{k}, {step}",
        f"{x}.at = getelementptr float, ptr %c{k}.kept, i64 {turn * registers.size}",
        f"{x}.size = load {registers.numbers}, ptr {x}.at, align {4 * registers.size}",
    ]


def one_by_one(coder: Coder, k: int, form: BlockFormat, scale: list[str], scope: str) -> list[str]:
    """The codes of a register's elements by the definition, for the last tiles of a chunk, which are few."""
    registers = coder.registers
    size, bytes_ = registers.size, lanes(registers.size, "i8")
    lines: list[str] = []
    x = f"%rest{k}"
    words = Words(f"{x}.w", size)
    above = form.above(words, f"{x}.size", f"{x}.scale", form.base(words, f"{x}.scale"), f"{x}.noise")
    code = words.right(above, form.shift)
    if not form.signed:
        code = words.no_less(code, 1)
    lines += [
        *scale,
        *registers.everywhere(f"{x}.scale", f"{x}.scale.old", "float"),
        f"{x}.word = add i32 %rest.weyl, %b{k}.n.base",
        *registers.everywhere(f"{x}.words", f"{x}.word", "i32"),
        f"{x}.noise = add {registers.words} {x}.words, {registers.noise(0)}",
        f"{x}.at = getelementptr float, ptr %slots{k}, i64 %rest.slot",
        f"{x}.size = load {registers.numbers}, ptr {x}.at, align {4 * size}",
        *words.lines,
        f"{x}.plain = trunc {registers.words} {code} to {bytes_}",
    ]
    if form.signed:
        lines += [
            *coder.signs(k, f"{x}.sign"),
            f"{x}.bit = and {bytes_} {x}.sign, {alike(size, 'i8', -128)}",
            f"{x}.code = or {bytes_} {x}.plain, {x}.bit",
        ]
    lines += [
        f"{x}.to = getelementptr i8, ptr %b{k}, i64 %i.rest",
        f"store {bytes_} {x}.{'code' if form.signed else 'plain'}, ptr {x}.to, align 1, " + scope,
    ]
    return lines


def base_of_group(k: int, kind: str) -> list[str]:
    """``%cK.base.word`` becomes what was kept for the group of the tile whose codes are made."""
    c = f"%c{k}"
    return [
        f"{c}.base.at = getelementptr i32, ptr %bases{k}, i64 %c.group",
        f"{c}.base.word = load {kind}, ptr {c}.base.at, align 4",
    ]
