"""Registers of 512 bits: what fits into one, what a tile is, and values that are the same in all elements."""

from __future__ import annotations

from collections.abc import Sequence

from zerograd.formats.blocks import WEYL
from zerograd.kernels.cpu.words import alike, lanes

LANES, TILE = 16, 64
"""Elements of a register, and of a tile: their codes fill one."""

TURNS = TILE // LANES

NUMBERS, WORDS, CODES = lanes(LANES, "float"), lanes(LANES, "i32"), lanes(TILE, "i8")


def everywhere(name: str, value: str, kind: str) -> list[str]:
    """``name`` becomes a register with the same value in all elements."""
    many = lanes(LANES, kind)
    return [
        f"{name}.one = insertelement {many} zeroinitializer, {kind} {value}, i64 0",
        f"{name} = shufflevector {many} {name}.one, {many} zeroinitializer, {WORDS} zeroinitializer",
    ]


def noise(first: int) -> str:
    """What 16 elements from this one on add to the noise of the first of their tile."""
    return f"<{', '.join(f'i32 {(first + i) * WEYL & 0xFFFFFFFF}' for i in range(LANES))}>"


def repeated(*values: int) -> str:
    """A register of bytes that repeat, as words of eight: the compiler reads a short text sooner."""
    word = int.from_bytes(bytes(values) * (8 // len(values)), "little")
    return f"bitcast ({lanes(TILE // 8, 'i64')} {alike(TILE // 8, 'i64', word)} to {CODES})"


def hidden(name: str, value: str, kind: str) -> str:
    """``name`` becomes a value of which the compiler knows nothing: it keeps to the operations that it is given."""
    return f'{name} = call {kind} asm "", "=v,0"({kind} {value})'


def reduced(name: str, registers: Sequence[str]) -> list[str]:
    """``name.out0``, of two registers also ``name.out1``, become the largest word of each: two share the work."""
    half = LANES // 2
    lower = [i + half * (i // half) for i in range(LANES)]
    pair = f"{WORDS} {registers[0]}, {WORDS} {registers[-1]}"
    lines = [
        _shuffled(f"{name}.lower", pair, lower),
        _shuffled(f"{name}.upper", pair, [i + half for i in lower]),
        _larger(f"{name}.{half}", f"{name}.lower", f"{name}.upper"),
    ]
    while half > 1:
        last, half = f"{name}.{half}", half // 2
        lines += [
            _shuffled(f"{last}.moved", f"{WORDS} {last}, {WORDS} {last}", [i ^ half for i in range(LANES)]),
            _larger(f"{name}.{half}", last, f"{last}.moved"),
        ]
    at = (0, LANES // 2)[: len(registers)]
    return [*lines, *(f"{name}.out{n} = extractelement {WORDS} {name}.1, i64 {i}" for n, i in enumerate(at))]


def _shuffled(name: str, pair: str, order: Sequence[int]) -> str:
    return f"{name} = shufflevector {pair}, {WORDS} <{', '.join(f'i32 {i}' for i in order)}>"


def _larger(name: str, a: str, b: str) -> str:
    return f"{name} = call {WORDS} @llvm.umax.v16i32({WORDS} {a}, {WORDS} {b})"
