"""The printer of passes over states in block formats for processors for which there is a coder.

Where states have 8 bits, the time of a step goes into operations. So this printer writes them for the elements of a
register at once instead of leaving that to the compiler, and in an order in which no part of the processor waits:
tiles of 64 elements, in which the elements before a root or a quotient are computed while the ones after it wait for
the divider; and beside each tile the codes of an earlier one, whose scale is known by then.

The numbers are those of ``blocks``, to the bit: which product is merged with which sum is written down in
``merging``, for the compiler would choose anew in every loop. Only what means nothing may differ: codes of a group
that is nan, and the sign of a nan. The loops of ``blocks`` stay for tensors whose rows are not made of whole tiles.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from operator import itemgetter
from typing import Any

from zerograd.algebra.graph import Node
from zerograd.formats.blocks import WEYL, BlockFormat
from zerograd.formats.layout import Layout
from zerograd.formats.plain import FP32
from zerograd.kernels.cpu import machine
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.blocks import BlockPrinter
from zerograd.kernels.cpu.coders import BEHIND, SLOTS, Coder, one_by_one
from zerograd.kernels.cpu.passes import Pass
from zerograd.kernels.cpu.registers import TILE
from zerograd.kernels.cpu.saturating import Saturating
from zerograd.kernels.cpu.sorting import Sorting
from zerograd.kernels.cpu.turns import Turn, near
from zerograd.kernels.cpu.words import COMPARE, INFIX, alike, constant, renamed, stored_as

CODERS: tuple[Coder, ...] = (Sorting(), Saturating())
"""The better first."""

CODING = 5
"""The steps of a tile that codes are made in, at its end; a step is a turn, or one that only ends those before it.
With AVX-512, in three steps a tile takes 3 hundredths longer, evenly between all lines 5; with AVX2, in four, five or
six it takes as long (AdamW, both moments in 8 bits)."""

_PRINTED = {*INFIX, *COMPARE, "and", "or", "neg", "where", "sqrt", "abs", "maximum", "minimum", "sign", "lerp"}


def coder() -> Coder | None:
    """The coder for this processor, if there is one."""
    return next((one for one in CODERS if machine.has(*one.features)), None)


def coder_name() -> str | None:
    """What states in 8 bits are coded with here, for people; None: the compiler chooses; CodeError without LLVM."""
    found = coder()
    return found.name if found else None


def serves(one: Pass, leaves: Mapping[int, str], layout: Layout) -> bool:
    """Whether a pass that stores states in block formats can be printed so, for this processor.

    Not where a condition is one for the whole tensor: the compiler makes it a branch in the loops of ``blocks``, and
    then merges other products with other sums than here.
    """
    read = {n.id: one.known.get(n.id) or leaves.get(n.id) for n in one.elements()}
    formats = dict(layout.buffers)
    touched = {formats[name] for name in (*one.stores, *read.values()) if name}
    return (
        coder() is not None
        and not one.sums
        and not any(n.is_bool for n in one.scalars())
        and any(isinstance(formats[name], BlockFormat) for name in one.stores)
        and all(form == FP32 or isinstance(form, BlockFormat) for form in touched)
        and all(read[n.id] or n.op in _PRINTED for n in one.elements())
    )


class TilePrinter(BlockPrinter):
    """Prints one pass that ``serves`` admits."""

    entry = "%untiled"
    ways = ("part",)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        found = coder()
        assert found is not None, "this processor is not one that serves() admits"
        self.coder, self.registers = found, found.registers
        self.turn = Turn(found, *given, **named)
        many, size = self.registers.words, self.registers.size
        for declared in (
            f"{many} @llvm.umax.v{size}i32({many}, {many})",
            f"{many} @llvm.smax.v{size}i32({many}, {many})",
            f"{many} @llvm.fshr.v{size}i32({many}, {many}, {many})",
            f"{self.registers.numbers} @llvm.fabs.v{size}f32({self.registers.numbers})",
            "i64 @llvm.smax.i64(i64, i64)",
            *found.declared,
        ):
            self.calls.add(f"declare {declared}")

    @property
    def _states(self) -> list[tuple[int, BlockFormat]]:
        return [(self.numbers[name], self.blocks[name]) for name in self.encoded]

    def _opening(self) -> list[str]:
        slots = [f"  %nowhere.kept = alloca {self.registers.codes}, align {TILE}"]
        for k, form in self._states:
            slots.append(f"  %slots{k} = alloca [{SLOTS * TILE} x float], align {TILE}")
            slots.append(f"  %bases{k} = alloca [{SLOTS} x i32], align {TILE}")
            if form.signed:
                slots.append(f"  %signs{k} = alloca [{SLOTS} x {self.coder.kept_signs}], align {TILE}")
        first, *rest = super()._opening()
        return [first, *slots, *rest]

    def _loop(self, body: list[str]) -> list[str]:
        return ["  br i1 %is.tiled, label %tiles, label %untiled", "untiled:", *super()._loop(body), *self._tiles()]

    def _chunk(self) -> list[str]:
        lines = super()._chunk()
        lines += [
            "%lengths = or i64 %length, %row.length",
            f"%beyond = and i64 %lengths, {TILE - 1}",
            "%is.whole = icmp eq i64 %beyond, 0",
        ]
        before = "%is.whole"
        for n, node in enumerate(self._weights()):
            lines += [
                f"%near{n}.size = call float @llvm.fabs.f32(float {self._value(node)})",
                f"%near{n} = fcmp olt float %near{n}.size, {constant(0.5, 'float')}",
                f"%near{n}.all = and i1 {before}, %near{n}",
            ]
            before = f"%near{n}.all"
        return [*lines, f"%is.tiled = and i1 {before}, true"]  # another name for the last of them

    def _weights(self) -> list[Node]:
        found = {w.id: w for n in self.one.elements() if self.read[n.id] is None and (w := near(n)) is not None}
        return list(found.values())

    # ------------------------------------------------------------------------------------------------- the tiles

    def _tiles(self) -> list[str]:
        """The loop over tiles, then one over those whose codes are still to be made."""
        keys = [k for k, _ in self._states]
        words, last = self.registers.words, self.registers.turns - 1
        on = alike(self.registers.size, "i32", TILE * WEYL & 0xFFFFFFFF)
        return [
            "tiles:",
            *(f"  {line}" for line in self._spread_scalars()),
            *(f"  {line}" for line in self._first_noise()),
            "  %row.left.first = sub i64 %row.length, %row.column",
            "  br label %tile",
            "tile:",
            "  %t = phi i64 [ 0, %tiles ], [ %t.next, %tiled ]",
            "  %group.0 = phi i64 [ 0, %tiles ], [ %group.after, %tiled ]",
            *(f"  %group.{n} = phi i64 [ 0, %tiles ], [ %group.{n - 1}, %tiled ]" for n in range(1, BEHIND + 1)),
            "  %row.left = phi i64 [ %row.left.first, %tiles ], [ %row.left.next, %tiled ]",
            "  %is.second = phi i1 [ false, %tiles ], [ %is.second.next, %tiled ]",
            *(f"  %max{k} = phi {words} [ zeroinitializer, %tiles ], [ %max{k}.after, %tiled ]" for k in keys),
            *(f"  %noise{k} = phi {words} [ %noise{k}.first, %tiles ], [ %noise{k}.next, %tiled ]" for k in keys),
            *(f"  {line}" for line in self._mixed()),
            *(f"  %noise{k}.next = add {words} %noise{k}, {on}" for k in keys),
            f"  %t.next = add nuw nsw i64 %t, {TILE}",
            "  %more.tiles = icmp slt i64 %t.next, %length",
            f"  %row.ends.here = icmp eq i64 %row.left, {TILE}",
            f"  %row.left.less = sub i64 %row.left, {TILE}",
            "  %row.left.next = select i1 %row.ends.here, i64 %row.length, i64 %row.left.less",
            "  %may.end = or i1 %is.second, %row.ends.here",
            "  %is.last = xor i1 %more.tiles, true",
            "  %group.ends = or i1 %may.end, %is.last",
            "  br i1 %group.ends, label %rescale, label %tiled",
            "rescale:",
            *(f"  {line}" for line in self._rescaled()),
            "  %group.later = add nuw nsw i64 %group.0, 1",
            "  br label %tiled",
            "tiled:",
            "  %group.after = phi i64 [ %group.0, %tile ], [ %group.later, %rescale ]",
            "  %is.second.next = phi i1 [ true, %tile ], [ false, %rescale ]",
            *(
                f"  %max{k}.after = phi {words} [ %max{k}.next.{last}, %tile ], [ zeroinitializer, %rescale ]"
                for k in keys
            ),
            "  br i1 %more.tiles, label %tile, label %drain",
            "drain:",
            f"  %last.tiles = sub i64 %length, {BEHIND * TILE}",
            "  %first.left = call i64 @llvm.smax.i64(i64 %last.tiles, i64 0)",
            "  br label %rest",
            "rest:",
            "  %i.rest = phi i64 [ %first.left, %drain ], [ %i.rest.next, %rest ]",
            "  %before.end = sub i64 %length, %i.rest",
            *(
                line
                for n in range(BEHIND - 1, 0, -1)
                for line in (
                    f"  %in.last.{n} = icmp sle i64 %before.end, {n * TILE}",
                    f"  %group.rest.{n} = select i1 %in.last.{n}, i64 %group.{n - 1}, "
                    f"i64 %group.{n if n == BEHIND - 1 else f'rest.{n + 1}'}",
                )
            ),
            *(f"  {line}" for line in self._rest()),
            f"  %i.rest.next = add nuw nsw i64 %i.rest, {self.registers.size}",
            "  %more.rest = icmp slt i64 %i.rest.next, %length",
            "  br i1 %more.rest, label %rest, label %next",
        ]

    def _rest(self) -> list[str]:
        """The codes of a register of the last tiles: by the definition, for there are few of them."""
        lines = [
            f"%rest.slot = and i64 %i.rest, {SLOTS * TILE - 1}",
            f"%rest.turn = lshr i64 %rest.slot, {self.registers.size.bit_length() - 1}",
            "%rest.index = trunc i64 %i.rest to i32",
            f"%rest.weyl = mul i32 %rest.index, {WEYL}",
        ]
        for name in self.encoded:
            k, form = self.numbers[name], self.blocks[name]
            scale = self._scale_at(f"%rest{k}.scale", k, name, "%group.rest.1")
            lines += one_by_one(self.coder, k, form, scale, self._scope(name))
        return lines

    def _spread_scalars(self) -> list[str]:
        """Numbers of the whole tensor in a whole register, where codes of no tile go, and what a coder keeps."""
        spread = [(f"%v{node.id}", "i1" if node.is_bool else "float") for node in self.one.scalars()]
        if self.scaled and "g" in self.read.values():
            spread.append(("%scale", "float"))
        lines = [line for name, kind in spread for line in self.registers.everywhere(f"{name}.all", name, kind)]
        lines.append('%nowhere = call ptr asm "", "=r,0"(ptr %nowhere.kept)')
        return [*lines, *self.coder.lasting()]

    def _first_noise(self) -> list[str]:
        """The noise of the first tile whose codes are made; before a chunk, where they go nowhere."""
        lines = []
        for k, _ in self._states:
            lines += self.registers.everywhere(f"%noise{k}.base", f"%b{k}.n.base", "i32")
            lines.append(
                f"%noise{k}.first = add {self.registers.words} %noise{k}.base, {self.registers.noise(-BEHIND * TILE)}"
            )
        return lines

    def _mixed(self) -> list[str]:
        """The lines of a tile, turn by turn; between them those that make codes, and those that ask for memory."""
        turns = []
        for turn in range(self.registers.turns):
            staged = self.turn.staged(self.blocks, turn)
            stages = [stage for stage, _ in staged]
            turns.append(list(zip(stages, renamed([line for _, line in staged], turn), strict=True)))
        self.calls |= self.turn.calls
        codes = self._coded()
        latest = max(stage for turn in turns for stage, _ in turn)
        steps = self.registers.turns + latest
        first = max(steps - CODING, 0)
        coded = -(-len(codes) // (steps - first))
        lines: list[str] = []
        for step in range(steps):
            for stage in (0, *range(latest, 0, -1)):  # the newest first: what the divider is to do is ready soonest
                if 0 <= step - stage < self.registers.turns:
                    lines += [line for at, line in turns[step - stage] if at == stage]
            if step >= first:
                lines += [line for part in codes[:coded] for line in part]
                del codes[:coded]
        return self._placed() + _between(self._ahead(), lines)

    def _placed(self) -> list[str]:
        """Where a tile lies in each tensor, its scales and codes, and the slots that it is kept in."""
        lines = [f"%t.number = lshr i64 %t, {TILE.bit_length() - 1}", f"%t.slot = and i64 %t.number, {SLOTS - 1}"]
        for k, form in self._states:
            lines += [
                f"%slot{k}.first = mul i64 %t.slot, {TILE}",
                f"%slot{k}.now = getelementptr float, ptr %slots{k}, i64 %slot{k}.first",
            ]
            if form.signed:
                lines.append(f"%signs{k}.now = getelementptr {self.coder.kept_signs}, ptr %signs{k}, i64 %t.slot")
        for name in self._touched():
            k = self.numbers[name]
            lines.append(f"%b{k}.tile = getelementptr {stored_as(self.formats[name])}, ptr %b{k}, i64 %t")
        for name in self.scaled_buffers:
            k = self.numbers[name]
            lines += self._scale_at(f"%s{k}", k, name, "%group.0") + self.registers.everywhere(
                f"%s{k}.all", f"%s{k}.old", "float"
            )
            if name in self.read.values():
                lines += self.coder.loaded(k, self.blocks[name], self._scope(name))
        return lines

    def _touched(self) -> list[str]:
        return sorted({*self.one.stores, *(n for n in self.read.values() if n)}, key=self.numbers.__getitem__)

    def _ahead(self) -> list[list[str]]:
        """The lines that ask for each piece of 64 bytes of a later tile, the pieces of every tensor evenly spread.

        They go evenly between the others, for a core waits for sixteen pieces at most. A step of AdamW took 3
        hundredths longer with all in the first half of a tile, 5 with all at its beginning (50M elements, both moments
        in 8 bits).
        """
        found = []
        for name in self._touched():
            k, width = self.numbers[name], self.formats[name].bytes
            for at in range(0, TILE * width, 64):
                lines = [
                    f"%b{k}.t.ahead.{at} = getelementptr i8, ptr %b{k}.tile, i64 {self.coder.ahead * width + at}",
                    f"call void @llvm.prefetch.p0(ptr %b{k}.t.ahead.{at}, i32 0, i32 3, i32 1)",
                ]
                found.append(((at + 32) / width, lines))
        return [lines for _, lines in sorted(found, key=itemgetter(0))]

    def _scale_at(self, prefix: str, k: int, name: str, group: str) -> list[str]:
        return [
            f"{prefix}.place = getelementptr float, ptr %s{k}, i64 {group}",
            f"{prefix}.old = load float, ptr {prefix}.place, align 4, "
            + self._scope(name.replace("state ", "scales ", 1)),
        ]

    def _rescaled(self) -> list[str]:
        """The new scales of a group that has ended, and what takes them away from its codes again."""
        lines = [f"%base.slot = and i64 %group.0, {SLOTS - 1}"]
        largest = [f"%max{k}.next.{self.registers.turns - 1}" for k, _ in self._states]
        for first in range(0, len(largest), 2):
            lines += self.registers.reduced(f"%largest{first}", largest[first : first + 2])
        for i, name in enumerate(self.encoded):
            k, form = self.numbers[name], self.blocks[name]
            words = Words(f"%b{k}.r")
            scale = form.scale(words, f"%largest{i - i % 2}.out{i % 2}")
            base = self.coder.base(form, words, scale)
            scope = self._scope(name.replace("state ", "scales ", 1))
            lines += [
                *words.lines,
                f"%s{k}.new.at = getelementptr float, ptr %s{k}, i64 %group.0",
                f"store float {scale}, ptr %s{k}.new.at, align 4, {scope}",
                f"%b{k}.base.at = getelementptr i32, ptr %bases{k}, i64 %base.slot",
                f"store i32 {base}, ptr %b{k}.base.at, align 4",
            ]
        return lines

    def _coded(self) -> list[list[str]]:
        """The lines that make the codes of a tile before this one, in parts that go between others.

        Those of the first tiles of a chunk, which have none before them, go nowhere.
        """
        head = [
            f"%c.from = sub i64 %t, {BEHIND * TILE}",
            "%c.is.there = icmp sge i64 %c.from, 0",
            f"%c.number = add i64 %t.number, {SLOTS - BEHIND}",
            f"%c.slot = and i64 %c.number, {SLOTS - 1}",
            f"%c.first = mul i64 %c.slot, {TILE}",
            f"%c.group = and i64 %group.{BEHIND}, {SLOTS - 1}",
        ]
        each = []
        for name in self.encoded:
            k, form = self.numbers[name], self.blocks[name]
            scale = self._scale_at(f"%c{k}.scale", k, name, f"%group.{BEHIND}")
            each.append(self.coder.packed(k, form, scale, self._scope(name)))
        return [head, *(part for turn in zip(*each, strict=True) for part in turn)]


def _between(pieces: list[list[str]], lines: list[str]) -> list[str]:
    """The lines with the pieces evenly between them, the first piece at their beginning."""
    ends = [len(lines) * n // len(pieces) for n in range(len(pieces) + 1)]
    return [
        line for piece, (start, end) in zip(pieces, pairwise(ends), strict=True) for line in piece + lines[start:end]
    ]
