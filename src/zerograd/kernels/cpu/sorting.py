"""Codes in registers of 512 bits, for processors that sort bytes in them (AVX-512 VBMI).

The codes of a tile are loaded together, then sorted into words of 32 bits. There a code is the upper byte of half a
word, and a product takes it to its place and adds it to the scale at once (VNNI): one operation instead of three. The
other way, a register gives two bytes of every eight, cut out of its words by bits; then they are sorted.
"""

from __future__ import annotations

from zerograd.formats.blocks import BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.coders import Coder, base_of_group, sized
from zerograd.kernels.cpu.registers import TILE, Registers, hidden
from zerograd.kernels.cpu.words import alike, lanes

HALF = TILE // 2

PLACES = 0xAAAAAAAAAAAAAAAA
"""Which bytes of a register hold something after sorting, as a mask."""

_ALL = Registers(16)
_SIZE, _NUMBERS, _WORDS, _CODES = _ALL.size, _ALL.numbers, _ALL.words, _ALL.codes

ORDER = ", ".join(f"i8 {8 * (i % _SIZE // 2) + 2 * (i // _SIZE) + i % 2}" for i in range(TILE))
"""Where each of 64 codes lies when those of four registers have been put together."""


class Sorting(Coder):
    """The coder for AVX-512 VBMI and VNNI."""

    name = "AVX-512 VBMI"
    features = ("avx512f", "avx512bw", "avx512dq", "avx512vbmi", "avx512vnni")
    registers = _ALL
    apart = False
    ahead = 12 * TILE
    kept_signs = f"i{TILE}"
    declared = (
        f"{_CODES} @llvm.umax.v64i8({_CODES}, {_CODES})",
        f"{_CODES} @llvm.uadd.sat.v64i8({_CODES}, {_CODES})",
        f"{_CODES} @llvm.x86.avx512.pmultishift.qb.512({_CODES}, {_CODES})",
        f"{_CODES} @llvm.x86.avx512.permvar.qi.512({_CODES}, {_CODES})",
        f"{_WORDS} @llvm.x86.avx512.vpdpwssd.512({_WORDS}, {_WORDS}, {_WORDS})",
    )

    def lasting(self) -> list[str]:
        """Orders and masks; the compiler must not know them, else it finds other operations for them."""
        masks = {
            f"turn{turn}": sum(0b11 << (8 * word + 2 * turn) for word in range(8)) for turn in range(1, _ALL.turns)
        }
        return [
            hidden("%in.order", f"<{ORDER}>", _CODES),
            *(
                line
                for name, mask in {**masks, "places": PLACES}.items()
                for line in (
                    f'%{name}.mask = call i64 asm "", "=r,0"(i64 {mask})',
                    f"%{name} = bitcast i64 %{name}.mask to {lanes(TILE, 'i1')}",
                )
            ),
        ]

    def loaded(self, k: int, form: BlockFormat, scope: str) -> list[str]:
        """The codes of a tile before they are sorted, and the scale of its group, to which they are added.

        The product takes a byte for one with a sign: codes with a sign lie in a register without it, 32 beside the
        same 32 of which only the sign is left; of others 128 is taken away, and given back with the scale.
        """
        b, signed = f"%b{k}", form.signed
        count = HALF if signed else TILE
        kind = lanes(count, "i8")
        lines = [
            f"{b}.scale.bits = bitcast {_NUMBERS} %s{k}.all to {_WORDS}",
            f"{b}.lift = add {_WORDS} {b}.scale.bits, {alike(_SIZE, 'i32', 0 if signed else 128 << form.shift)}",
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
                    f"{x}.parts = and {_CODES} {x}.twice, {_halves(form.top, 0x80)}",
                ]
            else:
                lines.append(f"{x}.parts = xor {_CODES} {x}.codes, {_ALL.repeated(0x80)}")
        return lines

    def unpacked(
        self,
        k: int,
        form: BlockFormat,
        name: str,
        turn: int,
        scope: str,  # noqa: ARG002 - they have been loaded
    ) -> list[str]:
        """Sorted into words and lifted above the scale."""
        start, first = divmod(turn * _SIZE, HALF if form.signed else TILE)
        start *= HALF
        sources = (0, first, 0, HALF + first) if form.signed else (0, first, 0, first)
        order = ", ".join(f"i8 {source + i}" for i in range(_SIZE) for source in sources)
        words = Words(f"{name}.d", _SIZE)
        single = form.lowered(words, f"{name}.lifted", f"%s{k}.all", f"{name}.word")
        return [
            hidden(f"{name}.order", f"<{order}>", _CODES),
            f"{name}.sorted = call {_CODES} @llvm.x86.avx512.permvar.qi.512("
            f"{_CODES} %b{k}.from{start}.parts, {_CODES} {name}.order)",
            f"{name}.bytes = select {lanes(TILE, 'i1')} %places, {_CODES} {name}.sorted, {_CODES} zeroinitializer",
            f"{name}.word = bitcast {_CODES} {name}.bytes to {_WORDS}",
            f"{name}.lifted = call {_WORDS} @llvm.x86.avx512.vpdpwssd.512("
            f"{_WORDS} %b{k}.lift, {_WORDS} {name}.word, {_WORDS} {alike(_SIZE, 'i32', 1 << form.shift - 8)})",
            *words.lines[:-1],
            words.lines[-1].replace(single, name, 1),
        ]

    def signed(self, k: int, bits: str, turn: int) -> list[str]:
        """As a mask."""
        return [
            f"%b{k}.negative = icmp slt {_WORDS} {bits}, zeroinitializer",
            f"%b{k}.bits = bitcast {lanes(_SIZE, 'i1')} %b{k}.negative to i{_SIZE}",
            f"%b{k}.signs.at = getelementptr i{_SIZE}, ptr %signs{k}.now, i64 {turn}",
            f"store i{_SIZE} %b{k}.bits, ptr %b{k}.signs.at, align {_SIZE // 8}",
        ]

    def base(self, form: BlockFormat, words: Words, scale: str) -> str:
        """What is above the noise: two words give one in one operation."""
        return str(form.base(words, scale))

    def packed(self, k: int, form: BlockFormat, scale: list[str], scope: str) -> list[list[str]]:
        """A register gives two bytes of every eight, then they are sorted."""
        c = f"%c{k}"
        lines = [
            *scale,
            *_ALL.everywhere(f"{c}.scale", f"{c}.scale.old", "float"),
            *base_of_group(k, "i32"),
            *_ALL.everywhere(f"{c}.base", f"{c}.base.word", "i32"),
            f"{c}.kept = getelementptr float, ptr %slots{k}, i64 %c.first",
        ]
        turns = []
        places = _ALL.repeated(form.shift, form.shift + 32)
        for turn in range(_ALL.turns):
            x = f"{c}.{turn}"
            words = Words(f"{x}.a", _SIZE)
            above = form.above(words, f"{x}.size", f"{c}.scale", f"{c}.base", f"{x}.noise")
            lines += [
                *sized(_ALL, k, turn),
                *words.lines,
                f"{x}.bytes = bitcast {_WORDS} {above} to {_CODES}",
                f"{x}.out = call {_CODES} @llvm.x86.avx512.pmultishift.qb.512({_CODES} {places}, {_CODES} {x}.bytes)",
            ]
            if turn:
                mask = f"{lanes(TILE, 'i1')} %turn{turn}"
                before = f"{c}.{turn - 1}.{'all' if turn > 1 else 'out'}"
                lines.append(f"{x}.all = select {mask}, {_CODES} {x}.out, {_CODES} {before}")
            turns.append(lines)
            lines = []
        lines.append(
            f"{c}.sorted = call {_CODES} @llvm.x86.avx512.permvar.qi.512("
            f"{_CODES} {c}.{_ALL.turns - 1}.all, {_CODES} %in.order)"
        )
        if form.signed:
            lines += [
                f"{c}.signs.at = getelementptr i{TILE}, ptr %signs{k}, i64 %c.slot",
                f"{c}.signs = load i{TILE}, ptr {c}.signs.at, align 8",
                f"{c}.negative = bitcast i{TILE} {c}.signs to {lanes(TILE, 'i1')}",
                f"{c}.marked = call {_CODES} @llvm.uadd.sat.v64i8({_CODES} {c}.sorted, {_CODES} {_ALL.repeated(0x80)})",
                f"{c}.code = select {lanes(TILE, 'i1')} {c}.negative, {_CODES} {c}.marked, {_CODES} {c}.sorted",
            ]
        else:
            one = _ALL.repeated(1)
            lines.append(f"{c}.code = call {_CODES} @llvm.umax.v64i8({_CODES} {c}.sorted, {_CODES} {one})")
        turns[-1] += [
            *lines,
            f"{c}.there = getelementptr i8, ptr %b{k}, i64 %c.from",
            f"{c}.to = select i1 %c.is.there, ptr {c}.there, ptr %nowhere",
            f"store {_CODES} {c}.code, ptr {c}.to, align 1, {scope}",
        ]
        return turns

    def signs(self, k: int, name: str) -> list[str]:
        """From the mask."""
        x = name.rpartition(".")[0]
        return [
            f"{x}.signs.at = getelementptr i{_SIZE}, ptr %signs{k}, i64 %rest.turn",
            f"{x}.signs = load i{_SIZE}, ptr {x}.signs.at, align {_SIZE // 8}",
            f"{x}.negative = bitcast i{_SIZE} {x}.signs to {lanes(_SIZE, 'i1')}",
            f"{name} = sext {lanes(_SIZE, 'i1')} {x}.negative to {lanes(_SIZE, 'i8')}",
        ]


def _halves(lower: int, upper: int) -> str:
    """A register with one byte everywhere in its lower half, and another in its upper one."""
    words = ", ".join(f"i64 {int.from_bytes(bytes([byte] * 8), 'little')}" for byte in (lower, upper) for _ in range(4))
    return f"bitcast ({lanes(TILE // 8, 'i64')} <{words}> to {_CODES})"
