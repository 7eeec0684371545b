"""Codes in registers of 256 bits, for processors with AVX2.

Codes are loaded and widened eight at a time. The other way, two registers of words become one of halves, and two of
those one of bytes, by operations that saturate: what does not fit becomes the nearest that does. Codes fit, so they
stay as they are; numbers do not, but whatever becomes of one, its highest bit is still its sign.
"""

from __future__ import annotations

from zerograd.formats.blocks import BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.coders import Coder, base_of_group, sized
from zerograd.kernels.cpu.registers import TILE, Registers
from zerograd.kernels.cpu.words import lanes

_ALL = Registers(8)
_SIZE, _NUMBERS, _WORDS, _CODES = _ALL.size, _ALL.numbers, _ALL.words, _ALL.codes
_HALVES = lanes(2 * _SIZE, "i16")

FOUR = 4
"""Registers whose codes fill one."""

WIDTH = FOUR * _SIZE

_ORDER = ", ".join(f"i32 {i // 2 + FOUR * (i % 2)}" for i in range(_SIZE))
"""Narrowing puts four codes of each register into one half of the result and four into the other: in words of four
codes, where each lies."""


class Saturating(Coder):
    """The coder for AVX2."""

    name = "AVX2"
    features = ("avx2", "fma")
    registers = _ALL
    apart = True
    ahead = 4 * TILE
    kept_signs = f"[{TILE} x i8]"
    declared = (
        f"{_HALVES} @llvm.x86.avx2.packusdw({_WORDS}, {_WORDS})",
        f"{_HALVES} @llvm.x86.avx2.packssdw({_WORDS}, {_WORDS})",
        f"{_CODES} @llvm.x86.avx2.packuswb({_HALVES}, {_HALVES})",
        f"{_CODES} @llvm.x86.avx2.packsswb({_HALVES}, {_HALVES})",
        f"{_CODES} @llvm.umax.v32i8({_CODES}, {_CODES})",
    )

    def lasting(self) -> list[str]:
        """Nothing: sixteen registers are too few for it."""
        return []

    def loaded(self, k: int, form: BlockFormat, scope: str) -> list[str]:  # noqa: ARG002 - codes are loaded later
        """The scale as words. Sixteen registers are too few to load all codes now."""
        return [f"%b{k}.lift = bitcast {_NUMBERS} %s{k}.all to {_WORDS}"]

    def unpacked(self, k: int, form: BlockFormat, name: str, turn: int, scope: str) -> list[str]:
        """Widened and shifted to their place, where the upper bits of a code with a sign are the sign."""
        eight, words = lanes(_SIZE, "i8"), Words(f"{name}.d", _SIZE)
        shifted = words.left(f"{name}.wide", form.shift)
        place = words.both(shifted, form.top << form.shift) if form.signed else shifted
        single = form.lowered(words, words.add(place, f"%b{k}.lift"), f"%s{k}.all", shifted)
        return [
            f"{name}.at = getelementptr i8, ptr %b{k}.tile, i64 {turn * _SIZE}",
            f"{name}.codes = load {eight}, ptr {name}.at, align 1, {scope}",
            f"{name}.wide = {'sext' if form.signed else 'zext'} {eight} {name}.codes to {_WORDS}",
            *words.lines[:-1],
            words.lines[-1].replace(single, name, 1),
        ]

    def signed(self, k: int, bits: str, turn: int) -> list[str]:
        """As bytes, in the order that narrowing gives."""
        b, lines = f"%b{k}", []
        if turn % 2:
            lines.append(
                f"{b}.pair = call {_HALVES} @llvm.x86.avx2.packssdw({_WORDS} {bits}.{turn - 1}, {_WORDS} {bits})"
            )
        if turn % FOUR == FOUR - 1:
            lines += [
                f"{b}.bytes = call {_CODES} @llvm.x86.avx2.packsswb({_HALVES} {b}.pair.{turn - 2}, {_HALVES} {b}.pair)",
                f"{b}.signs.at = getelementptr i8, ptr %signs{k}.now, i64 {turn // FOUR * WIDTH}",
                f"store {_CODES} {b}.bytes, ptr {b}.signs.at, align {WIDTH}",
            ]
        return lines

    def base(self, form: BlockFormat, words: Words, scale: str) -> str:
        """The scale where its codes lie at last, in the lower half of the word: it has no bits below, so it can be
        taken away there."""
        return words.right(words.bits(scale), form.shift)

    def packed(self, k: int, form: BlockFormat, scale: list[str], scope: str) -> list[list[str]]:
        """The scale is taken away from two registers at once, after they have been narrowed to one."""
        c = f"%c{k}"
        many = lanes(2 * _SIZE, "i32")
        lines = [
            *scale,
            *_ALL.everywhere(f"{c}.scale", f"{c}.scale.old", "float"),
            *base_of_group(k, "i16"),
            f"{c}.base.one = insertelement {_HALVES} zeroinitializer, i16 {c}.base.word, i64 0",
            f"{c}.base = shufflevector {_HALVES} {c}.base.one, {_HALVES} zeroinitializer, {many} zeroinitializer",
            f"{c}.kept = getelementptr float, ptr %slots{k}, i64 %c.first",
        ]
        turns = []
        for turn in range(_ALL.turns):
            x = f"{c}.{turn}"
            words = Words(f"{x}.a", _SIZE)
            random = words.right(f"{x}.noise", 32 - form.shift)
            above = words.add(words.bits(words.plus(f"{x}.size", f"{c}.scale")), random)
            code = words.right(above, form.shift)
            lines += [*sized(_ALL, k, turn), *words.lines[:-1], words.lines[-1].replace(code, f"{x}.code", 1)]
            if turn % 2:
                lines += [
                    f"{x}.both = call {_HALVES} @llvm.x86.avx2.packusdw("
                    f"{_WORDS} {c}.{turn - 1}.code, {_WORDS} {x}.code)",
                    f"{x}.pair = sub {_HALVES} {x}.both, {c}.base",
                ]
            if turn % FOUR == FOUR - 1:
                lines += self._put(k, form, turn, scope)
            turns.append(lines)
            lines = []
        return turns

    def _put(self, k: int, form: BlockFormat, turn: int, scope: str) -> list[str]:
        """The codes of four registers go to their place."""
        c, x, start = f"%c{k}", f"%c{k}.{turn}", turn // FOUR * WIDTH
        lines = [
            f"{x}.bytes = call {_CODES} @llvm.x86.avx2.packuswb({_HALVES} {c}.{turn - 2}.pair, {_HALVES} {x}.pair)"
        ]
        if form.signed:
            lines += [
                f"{x}.signs.from = getelementptr {self.kept_signs}, ptr %signs{k}, i64 %c.slot",
                f"{x}.signs.at = getelementptr i8, ptr {x}.signs.from, i64 {start}",
                f"{x}.signs = load {_CODES}, ptr {x}.signs.at, align {WIDTH}",
                f"{x}.bits = and {_CODES} {x}.signs, {_ALL.repeated(0x80)}",
                f"{x}.whole = or {_CODES} {x}.bytes, {x}.bits",
            ]
        else:
            lines.append(f"{x}.whole = call {_CODES} @llvm.umax.v32i8({_CODES} {x}.bytes, {_CODES} {_ALL.repeated(1)})")
        return [
            *lines,
            f"{x}.fours = bitcast {_CODES} {x}.whole to {_WORDS}",
            f"{x}.sorted = shufflevector {_WORDS} {x}.fours, {_WORDS} {x}.fours, {_WORDS} <{_ORDER}>",
            f"{x}.from = add i64 %c.from, {start}",
            f"{x}.there = getelementptr i8, ptr %b{k}, i64 {x}.from",
            f"{x}.to = select i1 %c.is.there, ptr {x}.there, ptr %nowhere",
            f"store {_WORDS} {x}.sorted, ptr {x}.to, align 1, {scope}",
        ]

    def signs(self, k: int, name: str) -> list[str]:
        """Four bytes of one half and four of the other."""
        x, four = name.rpartition(".")[0], lanes(FOUR, "i8")
        lines = [
            f"{x}.signs.whole = lshr i64 %rest.turn, 2",
            f"{x}.signs.start = mul i64 {x}.signs.whole, {WIDTH}",
            f"{x}.signs.quarter = and i64 %rest.turn, {FOUR - 1}",
            f"{x}.signs.inside = mul i64 {x}.signs.quarter, {FOUR}",
            f"{x}.signs.first = add i64 {x}.signs.start, {x}.signs.inside",
            f"{x}.signs.second = add i64 {x}.signs.first, {WIDTH // 2}",
        ]
        for half in ("first", "second"):
            lines += [
                f"{x}.{half}.at = getelementptr i8, ptr %signs{k}, i64 {x}.signs.{half}",
                f"{x}.{half}.signs = load {four}, ptr {x}.{half}.at, align {FOUR}",
            ]
        order = ", ".join(f"i32 {i}" for i in range(_SIZE))
        return [
            *lines,
            f"{name} = shufflevector {four} {x}.first.signs, {four} {x}.second.signs, {_WORDS} <{order}>",
        ]
