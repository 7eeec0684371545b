"""Registers: what fits into one, what a tile is, and values that are the same in all elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zerograd.formats.blocks import WEYL
from zerograd.kernels.cpu.words import alike, lanes

TILE = 64
"""Elements of a tile."""


@dataclass(frozen=True)
class Registers:
    """Registers of so many elements of 32 bits (``size``), or four times as many codes."""

    size: int

    @property
    def numbers(self) -> str:
        """The type of a register of float32."""
        return lanes(self.size, "float")

    @property
    def words(self) -> str:
        """The type of a register of words of 32 bits."""
        return lanes(self.size, "i32")

    @property
    def codes(self) -> str:
        """The type of a register of bytes."""
        return lanes(4 * self.size, "i8")

    @property
    def turns(self) -> int:
        """How many registers of numbers a tile fills."""
        return TILE // self.size

    def everywhere(self, name: str, value: str, kind: str) -> list[str]:
        """``name`` becomes a register with the same value in all elements."""
        many = lanes(self.size, kind)
        return [
            f"{name}.one = insertelement {many} zeroinitializer, {kind} {value}, i64 0",
            f"{name} = shufflevector {many} {name}.one, {many} zeroinitializer, {self.words} zeroinitializer",
        ]

    def noise(self, first: int) -> str:
        """What the elements from this one on add to the noise of the first of their tile."""
        return f"<{', '.join(f'i32 {(first + i) * WEYL & 0xFFFFFFFF}' for i in range(self.size))}>"

    def repeated(self, *values: int) -> str:
        """A register of bytes that repeat, as words of eight: the compiler reads a short text sooner."""
        word = int.from_bytes(bytes(values) * (8 // len(values)), "little")
        wide = self.size // 2
        return f"bitcast ({lanes(wide, 'i64')} {alike(wide, 'i64', word)} to {self.codes})"

    def reduced(self, name: str, registers: Sequence[str]) -> list[str]:
        """``name.out0``, of two registers also ``name.out1``, become the largest word of each: two share the work."""
        half = self.size // 2
        lower = [i + half * (i // half) for i in range(self.size)]
        pair = f"{self.words} {registers[0]}, {self.words} {registers[-1]}"
        lines = [
            self._shuffled(f"{name}.lower", pair, lower),
            self._shuffled(f"{name}.upper", pair, [i + half for i in lower]),
            self._larger(f"{name}.{half}", f"{name}.lower", f"{name}.upper"),
        ]
        while half > 1:
            last, half = f"{name}.{half}", half // 2
            again = f"{self.words} {last}, {self.words} {last}"
            lines += [
                self._shuffled(f"{last}.moved", again, [i ^ half for i in range(self.size)]),
                self._larger(f"{name}.{half}", last, f"{last}.moved"),
            ]
        at = (0, self.size // 2)[: len(registers)]
        return [
            *lines,
            *(f"{name}.out{n} = extractelement {self.words} {name}.1, i64 {i}" for n, i in enumerate(at)),
        ]

    def _shuffled(self, name: str, pair: str, order: Sequence[int]) -> str:
        return f"{name} = shufflevector {pair}, {self.words} <{', '.join(f'i32 {i}' for i in order)}>"

    def _larger(self, name: str, a: str, b: str) -> str:
        return f"{name} = call {self.words} @llvm.umax.v{self.size}i32({self.words} {a}, {self.words} {b})"


def hidden(name: str, value: str, kind: str) -> str:
    """``name`` becomes a value of which the compiler knows nothing: it keeps to the operations that it is given."""
    return f'{name} = call {kind} asm "", "=v,0"({kind} {value})'


def held(name: str, value: str, kind: str) -> str:
    """``name`` becomes a value here: the compiler computes it before all that is held later, and uses it after.

    It also changes the order in which the compiler sees operands, so nothing may hang on that.
    """
    return f'{name} = call {kind} asm sideeffect "", "=v,0"({kind} {value})'
