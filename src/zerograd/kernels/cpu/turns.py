"""What is computed for 16 elements at once, and in which turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zerograd.algebra.graph import Level, Node
from zerograd.formats.blocks import BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.printer import PassPrinter
from zerograd.kernels.cpu.registers import LANES, NUMBERS, WORDS
from zerograd.kernels.cpu.unpacking import unpacked
from zerograd.kernels.cpu.words import lanes, stored_as

SLOW = ("sqrt", "div")
"""What the divider does: what needs such a result is computed one turn later."""


def near(node: Node) -> Node | None:
    """The weight of a lerp whose weight is one number for the tensor: it is served where that is below a half."""
    weight = node.args[2] if node.op == "lerp" else None
    return weight if isinstance(weight, Node) and weight.level > Level.ELEMENT else None


class Turn(PassPrinter):
    """What is computed for 16 elements: lines for the turn that they come in, and for later ones."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.kind = NUMBERS

    def staged(self, blocks: Mapping[str, BlockFormat], turn: int) -> list[tuple[int, str]]:
        """Each line with the number of turns that it comes later."""
        self.blocks, self.turn = blocks, turn
        found: list[tuple[int, str]] = []
        stages: dict[int, int] = {}
        placed: set[str] = set()

        def ready(node: Node) -> int:
            return stages.get(node.id, 0) + (node.op in SLOW and self.read.get(node.id) is None)

        def place(name: str) -> str:
            k = self.numbers[name]
            if name not in placed:
                placed.add(name)
                kind = stored_as(self.formats[name])
                found.append((0, f"%b{k}.i = getelementptr {kind}, ptr %b{k}.tile, i64 {turn * LANES}"))
            return f"%b{k}.i"

        for node in self.one.elements():
            name, buffer = f"%v{node.id}", self.read[node.id]
            if buffer is None:
                stages[node.id] = stage = max(map(ready, node.nodes), default=0)
                found += [(stage, line) for line in self._operation(name, node)]
                if node.op in SLOW:
                    found.append(
                        (stage + 1, f'{name}.late = call {NUMBERS} asm sideeffect "", "=v,0"({NUMBERS} {name})')
                    )
                continue
            scaled = self.scaled and buffer == "g"
            at = place(buffer)
            found += [(0, line) for line in self._loaded(f"{name}.loaded" if scaled else name, buffer, at)]
            if scaled:
                found.append((0, f"{name} = fmul {self.kind} {name}.loaded, %scale.all"))
        for buffer, node in self.one.stores.items():
            at = place(buffer)
            found += [(ready(node), line) for line in self._stored(buffer, self._value(node), at)]
        return found

    def _value(self, node: Node) -> str:
        uniform = node.level > Level.ELEMENT and node.op != "const"
        late = node.op in SLOW and node.level == Level.ELEMENT and self.read[node.id] is None
        return f"%v{node.id}.{'all' if uniform else 'late'}" if uniform or late else super()._value(node)

    def _operation(self, name: str, node: Node) -> list[str]:
        if near(node) is None:
            return super()._operation(name, node)
        a, b, weight = map(self._value, node.nodes)
        return [
            f"{name}.way = fsub {self.kind} {b}, {a}",
            f"{name}.step = fmul contract {self.kind} {name}.way, {weight}",
            f"{name} = fadd contract {self.kind} {a}, {name}.step",
        ]

    def _loaded(self, name: str, buffer: str, at: str) -> list[str]:
        if buffer not in self.blocks:
            return [f"{name} = load {self.kind}, ptr {at}, align 4, {self._scope(buffer)}"]
        return unpacked(self.numbers[buffer], self.blocks[buffer], name, self.turn)

    def _stored(self, buffer: str, value: str, at: str) -> list[str]:
        """A new state in a block format waits in a slot: its size, and apart from it the signs of 16 elements."""
        if buffer not in self.blocks:
            return [f"store {self.kind} {value}, ptr {at}, align 4, {self._scope(buffer)}"]
        k, form = self.numbers[buffer], self.blocks[buffer]
        words = Words(f"%b{k}.m", LANES)
        found = form.measured(words, value)
        lines = list(words.lines)
        if form.signed:
            lines += [
                f"%b{k}.negative = icmp slt {WORDS} {words.prefix}.0, zeroinitializer",
                f"%b{k}.bits = bitcast {lanes(LANES, 'i1')} %b{k}.negative to i{LANES}",
                f"%b{k}.signs.at = getelementptr i{LANES}, ptr %signs{k}.now, i64 {self.turn}",
                f"store i{LANES} %b{k}.bits, ptr %b{k}.signs.at, align {LANES // 8}",
            ]
        before = f"%max{k}" if self.turn == 0 else f"%max{k}.next.{self.turn - 1}"
        kept = f"{WORDS} {found}" if form.signed else f"{self.kind} {value}"
        return [
            *lines,
            f"%b{k}.slot = getelementptr float, ptr %slot{k}.now, i64 {self.turn * LANES}",
            f"store {kept}, ptr %b{k}.slot, align {4 * LANES}",
            f"%max{k}.next = call {WORDS} @llvm.umax.v16i32({WORDS} {before}, {WORDS} {found})",
        ]
