"""Codes of 8 bits from what waits in the slots of a tile."""

from __future__ import annotations

from zerograd.formats.blocks import WEYL, BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.registers import (
    CODES,
    LANES,
    NUMBERS,
    TILE,
    TURNS,
    WORDS,
    everywhere,
    noise,
    repeated,
)
from zerograd.kernels.cpu.words import alike, lanes


def packed(k: int, form: BlockFormat, scale: list[str], scope: str) -> list[list[str]]:
    """The codes of 64 elements, turn by turn: a register gives two bytes of every eight, then they are sorted.

    k: the number of the state. scale: lines that load the scale of the group into ``%cK.scale.old``. scope: the alias
    scope of the state.
    """
    c = f"%c{k}"
    lines = [
        *scale,
        *everywhere(f"{c}.scale", f"{c}.scale.old", "float"),
        f"{c}.base.at = getelementptr i32, ptr %bases{k}, i64 %c.group",
        f"{c}.base.word = load i32, ptr {c}.base.at, align 4",
        *everywhere(f"{c}.base", f"{c}.base.word", "i32"),
        f"{c}.kept = getelementptr float, ptr %slots{k}, i64 %c.first",
    ]
    turns = []
    places = repeated(form.shift, form.shift + 32)
    for turn in range(TURNS):
        x = f"{c}.{turn}"
        words = Words(f"{x}.a", LANES)
        above = form.above(words, f"{x}.size", f"{c}.scale", f"{c}.base", f"{x}.noise")
        lines += [
            f"{x}.noise = add {WORDS} %noise{k}, {alike(LANES, 'i32', turn * LANES * WEYL & 0xFFFFFFFF)}",
            f"{x}.at = getelementptr float, ptr {c}.kept, i64 {turn * LANES}",
            f"{x}.size = load {NUMBERS}, ptr {x}.at, align {4 * LANES}",
            *words.lines,
            f"{x}.bytes = bitcast {WORDS} {above} to {CODES}",
            f"{x}.out = call {CODES} @llvm.x86.avx512.pmultishift.qb.512({CODES} {places}, {CODES} {x}.bytes)",
        ]
        if turn:
            mask = f"{lanes(TILE, 'i1')} %turn{turn}"
            before = f"{c}.{turn - 1}.{'all' if turn > 1 else 'out'}"
            lines.append(f"{x}.all = select {mask}, {CODES} {x}.out, {CODES} {before}")
        turns.append(lines)
        lines = []
    lines.append(
        f"{c}.sorted = call {CODES} @llvm.x86.avx512.permvar.qi.512({CODES} {c}.{TURNS - 1}.all, {CODES} %in.order)"
    )
    if form.signed:
        lines += [
            f"{c}.signs.at = getelementptr i{TILE}, ptr %signs{k}, i64 %c.slot",
            f"{c}.signs = load i{TILE}, ptr {c}.signs.at, align 8",
            f"{c}.negative = bitcast i{TILE} {c}.signs to {lanes(TILE, 'i1')}",
            f"{c}.marked = call {CODES} @llvm.uadd.sat.v64i8({CODES} {c}.sorted, {CODES} {repeated(0x80)})",
            f"{c}.code = select {lanes(TILE, 'i1')} {c}.negative, {CODES} {c}.marked, {CODES} {c}.sorted",
        ]
    else:
        one = repeated(1)
        lines.append(f"{c}.code = call {CODES} @llvm.umax.v64i8({CODES} {c}.sorted, {CODES} {one})")
    turns[-1] += [
        *lines,
        f"{c}.there = getelementptr i8, ptr %b{k}, i64 %c.from",
        f"{c}.to = select i1 %c.is.there, ptr {c}.there, ptr %nowhere",
        f"store {CODES} {c}.code, ptr {c}.to, align 1, {scope}",
    ]
    return turns


ORDER = ", ".join(f"i8 {8 * (i % LANES // 2) + 2 * (i // LANES) + i % 2}" for i in range(TILE))
"""Where each of 64 codes lies when those of four registers have been put together."""


def one_by_one(k: int, form: BlockFormat, scale: list[str], scope: str) -> list[str]:
    """The codes of 16 elements by the definition, for the last tiles of a chunk, which are few."""
    lines: list[str] = []
    x = f"%rest{k}"
    words = Words(f"{x}.w", LANES)
    above = form.above(words, f"{x}.size", f"{x}.scale", form.base(words, f"{x}.scale"), f"{x}.noise")
    code = words.right(above, form.shift)
    if not form.signed:
        code = words.no_less(code, 1)
    lines += [
        *scale,
        *everywhere(f"{x}.scale", f"{x}.scale.old", "float"),
        f"{x}.word = add i32 %rest.weyl, %b{k}.n.base",
        *everywhere(f"{x}.words", f"{x}.word", "i32"),
        f"{x}.noise = add {WORDS} {x}.words, {noise(0)}",
        f"{x}.at = getelementptr float, ptr %slots{k}, i64 %rest.slot",
        f"{x}.size = load {NUMBERS}, ptr {x}.at, align {4 * LANES}",
        *words.lines,
        f"{x}.plain = trunc {WORDS} {code} to {lanes(LANES, 'i8')}",
    ]
    if form.signed:
        lines += [
            f"{x}.signs.at = getelementptr i{LANES}, ptr %signs{k}, i64 %rest.turn",
            f"{x}.signs = load i{LANES}, ptr {x}.signs.at, align {LANES // 8}",
            f"{x}.negative = bitcast i{LANES} {x}.signs to {lanes(LANES, 'i1')}",
            f"{x}.sign = sext {lanes(LANES, 'i1')} {x}.negative to {lanes(LANES, 'i8')}",
            f"{x}.bit = and {lanes(LANES, 'i8')} {x}.sign, {alike(LANES, 'i8', -128)}",
            f"{x}.code = or {lanes(LANES, 'i8')} {x}.plain, {x}.bit",
        ]
    lines += [
        f"{x}.to = getelementptr i8, ptr %b{k}, i64 %i.rest",
        f"store {lanes(LANES, 'i8')} {x}.{'code' if form.signed else 'plain'}, ptr {x}.to, align 1, " + scope,
    ]
    return lines
