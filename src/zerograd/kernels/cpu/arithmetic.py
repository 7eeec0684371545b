"""The arithmetic of ``formats.blocks`` as lines of LLVM."""

from __future__ import annotations

from typing import Any

from zerograd.kernels.cpu.words import alike, lanes, suffix


class Words:
    """Values are names of i32 and float, or of so many of them at once, or constants.

    prefix: of all names. No line has a flag that would let it be merged with another or done in another order.
    """

    def __init__(self, prefix: str, count: int = 1) -> None:
        self.prefix, self.count, self.lines = prefix, count, list[str]()
        self.word, self.float, self.truth = lanes(count, "i32"), lanes(count, "float"), lanes(count, "i1")

    def _made(self, text: str) -> str:
        name = f"{self.prefix}.{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def _called(self, kind: str, function: str, *arguments: str) -> str:
        given = ", ".join(f"{kind} {argument}" for argument in arguments)
        return self._made(f"call {kind} @llvm.{function}.{suffix(kind)}({given})")

    def _of(self, single: str, value: Any) -> str:
        return value if isinstance(value, str) else alike(self.count, single, value)

    def bits(self, number: str) -> str:
        return self._made(f"bitcast {self.float} {number} to {self.word}")

    def number(self, word: str) -> str:
        return self._made(f"bitcast {self.word} {word} to {self.float}")

    def size(self, number: str) -> str:
        return self._called(self.float, "fabs", number)

    def plus(self, x: str, y: Any) -> str:
        return self._made(f"fadd {self.float} {x}, {self._of('float', y)}")

    def minus(self, x: str, y: Any) -> str:
        return self._made(f"fsub {self.float} {x}, {self._of('float', y)}")

    def add(self, a: str, b: Any) -> str:
        return self._made(f"add {self.word} {a}, {self._of('i32', b)}")

    def sub(self, a: str, b: Any) -> str:
        return self._made(f"sub {self.word} {self._of('i32', a)}, {self._of('i32', b)}")

    def left(self, a: str, places: int) -> str:
        return self._made(f"shl {self.word} {a}, {self._of('i32', places)}")

    def right(self, a: str, places: int) -> str:
        return self._made(f"lshr {self.word} {a}, {self._of('i32', places)}")

    def joined(self, upper: str, lower: str, places: int) -> str:
        return self._called(self.word, "fshr", upper, lower, self._of("i32", places))

    def both(self, a: str, b: Any) -> str:
        return self._made(f"and {self.word} {a}, {self._of('i32', b)}")

    def either(self, a: str, b: Any) -> str:
        return self._made(f"or {self.word} {a}, {self._of('i32', b)}")

    def at_least(self, a: str, limit: int) -> str:
        return self._made(f"icmp uge {self.word} {a}, {self._of('i32', limit)}")

    def no_less(self, a: str, limit: int) -> str:
        return self._called(self.word, "smax", a, self._of("i32", limit))

    def chosen(self, condition: str, a: Any, b: Any) -> str:
        return self._made(
            f"select {self.truth} {condition}, {self.word} {self._of('i32', a)}, {self.word} {self._of('i32', b)}"
        )
