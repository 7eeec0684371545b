"""Numbers from codes of 8 bits: the codes of a tile are loaded together, then sorted into words of 32 bits.

There a code is the upper byte of half a word, and a product takes it to its place and adds it to the scale at once
(VNNI): one operation instead of three.
"""

from __future__ import annotations

from zerograd.formats.blocks import BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.registers import CODES, LANES, NUMBERS, TILE, WORDS, hidden, repeated
from zerograd.kernels.cpu.words import alike, lanes

HALF = TILE // 2

PLACES = 0xAAAAAAAAAAAAAAAA
"""Which bytes of a register hold something after sorting, as a mask."""

CALLS = (
    f"{CODES} @llvm.x86.avx512.permvar.qi.512({CODES}, {CODES})",
    f"{WORDS} @llvm.x86.avx512.vpdpwssd.512({WORDS}, {WORDS}, {WORDS})",
)


def loaded(k: int, form: BlockFormat, scope: str) -> list[str]:
    """The codes of a tile before they are sorted, and the scale of its group, to which they are added.

    k: the number of the state. scope: its alias scope. The product takes a byte for one with a sign: codes with a sign
    lie in a register without it, 32 beside the same 32 of which only the sign is left; of others 128 is taken away,
    and given back with the scale.
    """
    b, signed = f"%b{k}", form.signed
    count = HALF if signed else TILE
    kind = lanes(count, "i8")
    lines = [
        f"{b}.scale.bits = bitcast {NUMBERS} %s{k}.all to {WORDS}",
        f"{b}.lift = add {WORDS} {b}.scale.bits, {alike(LANES, 'i32', 0 if signed else 128 << form.shift)}",
    ]
    for start in range(0, TILE, count):
        x = f"{b}.from{start}"
        lines += [
            f"{x}.at = getelementptr i8, ptr {b}.tile, i64 {start}",
            f"{x}.codes = load {kind}, ptr {x}.at, align 1, {scope}",
        ]
        if signed:
            order = ", ".join(f"i32 {i % HALF}" for i in range(TILE))
            lines += [
                f"{x}.twice = shufflevector {kind} {x}.codes, {kind} {x}.codes, {lanes(TILE, 'i32')} <{order}>",
                f"{x}.parts = and {CODES} {x}.twice, {_halves(form.top, 0x80)}",
            ]
        else:
            lines.append(f"{x}.parts = xor {CODES} {x}.codes, {repeated(0x80)}")
    return lines


def unpacked(k: int, form: BlockFormat, name: str, turn: int) -> list[str]:
    """``name`` becomes the numbers that the 16 codes of a turn stand for."""
    start, first = divmod(turn * LANES, HALF if form.signed else TILE)
    start *= HALF
    sources = (0, first, 0, HALF + first) if form.signed else (0, first, 0, first)
    order = ", ".join(f"i8 {source + i}" for i in range(LANES) for source in sources)
    words = Words(f"{name}.d", LANES)
    single = form.lowered(words, f"{name}.lifted", f"%s{k}.all", f"{name}.word")
    return [
        hidden(f"{name}.order", f"<{order}>", CODES),
        f"{name}.sorted = call {CODES} @llvm.x86.avx512.permvar.qi.512("
        f"{CODES} %b{k}.from{start}.parts, {CODES} {name}.order)",
        f"{name}.bytes = select {lanes(TILE, 'i1')} %places, {CODES} {name}.sorted, {CODES} zeroinitializer",
        f"{name}.word = bitcast {CODES} {name}.bytes to {WORDS}",
        f"{name}.lifted = call {WORDS} @llvm.x86.avx512.vpdpwssd.512("
        f"{WORDS} %b{k}.lift, {WORDS} {name}.word, {WORDS} {alike(LANES, 'i32', 1 << form.shift - 8)})",
        *words.lines[:-1],
        words.lines[-1].replace(single, name, 1),
    ]


def _halves(lower: int, upper: int) -> str:
    """A register with one byte everywhere in its lower half, and another in its upper one."""
    words = ", ".join(f"i64 {int.from_bytes(bytes([byte] * 8), 'little')}" for byte in (lower, upper) for _ in range(4))
    return f"bitcast ({lanes(TILE // 8, 'i64')} <{words}> to {CODES})"
