"""What is computed for the elements of a register at once, and in which turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zerograd.algebra.graph import Level, Node
from zerograd.formats.blocks import BlockFormat
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.coders import Coder
from zerograd.kernels.cpu.printer import PassPrinter
from zerograd.kernels.cpu.registers import held
from zerograd.kernels.cpu.words import stored_as

SLOW = ("sqrt", "div")
"""What the divider does: what needs such a result is computed one turn later."""


def near(node: Node) -> Node | None:
    """The weight of a lerp whose weight is one number for the tensor. Tiles are for weights below a half: what those of
    a chunk are is asked before its first tile, and ``blocks`` serves the others."""
    weight = node.args[2] if node.op == "lerp" else None
    return weight if isinstance(weight, Node) and weight.level > Level.ELEMENT else None


class Turn(PassPrinter):
    """What is computed for the elements of a register: lines for the turn that they come in, and for later ones."""

    def __init__(self, coder: Coder, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.coder = coder
        self.size, self.kind = coder.registers.size, coder.registers.numbers
        self.blocks: Mapping[str, BlockFormat] = {}
        self.turn = 0
        self.instead: dict[int, str] = {}

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
                found.append((0, f"%b{k}.i = getelementptr {kind}, ptr %b{k}.tile, i64 {turn * self.size}"))
            return f"%b{k}.i"

        for node in self.one.elements():
            name, buffer = f"%v{node.id}", self.read[node.id]
            if buffer is None:
                apart = self.coder.apart and node.op in SLOW
                stages[node.id] = stage = max(map(ready, node.nodes), default=0) + apart
                lines = self._apart(name, node) if apart else self._operation(name, node)
                found += [(stage, line) for line in lines]
                if node.op in SLOW:
                    found.append((stage + 1, held(f"{name}.late", name, self.kind)))
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

    def _apart(self, name: str, node: Node) -> list[str]:
        """An operation on values that come from the turn before."""
        self.instead = {n.id: f"{name}.of{i}" for i, n in enumerate(node.nodes) if n.level == Level.ELEMENT}
        lines = self._operation(name, node)
        given, self.instead = self.instead, {}
        values = {n.id: self._value(n) for n in node.nodes}
        return [*(held(of, values[i], self.kind) for i, of in given.items()), *lines]

    def _value(self, node: Node) -> str:
        if node.id in self.instead:
            return self.instead[node.id]
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
        return self.coder.unpacked(self.numbers[buffer], self.blocks[buffer], name, self.turn, self._scope(buffer))

    def _stored(self, buffer: str, value: str, at: str) -> list[str]:
        """A new state in a block format waits in a slot: its size, and apart from it the signs of a register."""
        if buffer not in self.blocks:
            return [f"store {self.kind} {value}, ptr {at}, align 4, {self._scope(buffer)}"]
        k, form, many = self.numbers[buffer], self.blocks[buffer], self.coder.registers.words
        words = Words(f"%b{k}.m", self.size)
        found = form.measured(words, value)
        before = f"%max{k}" if self.turn == 0 else f"%max{k}.next.{self.turn - 1}"
        kept = f"{many} {found}" if form.signed else f"{self.kind} {value}"
        return [
            *words.lines,
            *(self.coder.signed(k, f"{words.prefix}.0", self.turn) if form.signed else ()),
            f"%b{k}.slot = getelementptr float, ptr %slot{k}.now, i64 {self.turn * self.size}",
            f"store {kept}, ptr %b{k}.slot, align {4 * self.size}",
            f"%max{k}.next = call {many} @llvm.umax.v{self.size}i32({many} {before}, {many} {found})",
        ]
