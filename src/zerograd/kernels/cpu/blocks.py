"""The printer of passes over states in block formats: a loop over groups, and in each two loops over elements.

The first loop decodes, computes and stores all else, keeps the new states in scratch memory that stays in the cache
next to the core, and finds the largest of each. Then the group's scales are known, and the second loop encodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zerograd.formats.blocks import GROUP, WEYL, BlockFormat
from zerograd.formats.layout import Layout
from zerograd.kernels.cpu.arithmetic import Words
from zerograd.kernels.cpu.passes import Pass
from zerograd.kernels.cpu.printer import PassPrinter, tensor_words
from zerograd.kernels.cpu.words import renamed, stored_as

AHEAD = 4
"""Groups ahead that memory is fetched: between the two loops the processor's own guess of what is needed comes late."""


_ENDS = {"full": f"  %end = add nuw nsw i64 %start, {GROUP}", "part": "  %end = add nuw nsw i64 %start, %count"}
"""Where a group ends that is full, and one that may be part of one."""


def touches_blocks(one: Pass, leaves: Mapping[int, str], layout: Layout) -> bool:
    """Whether a pass reads or stores a state in a block format."""
    touched = {*one.stores, *(one.known.get(n.id) or leaves.get(n.id, "") for n in one.elements())}
    return any(f"state {name}" in touched for name, _ in layout.blocks)


class BlockPrinter(PassPrinter):
    """Prints one pass over states in groups.

    entry: where the loop over groups is entered from. ways: which groups have loops of their own.
    """

    entry = "%work"
    ways: tuple[str, ...] = ("full", "part")

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.blocks: dict[str, BlockFormat] = {f"state {name}": form for name, form in self.layout.blocks}
        touched = {*self.one.stores, *self.read.values()}
        self.scaled_buffers = [name for name in self.blocks if name in touched]
        self.encoded = [name for name in self.blocks if name in self.one.stores]
        for declared in (
            "i64 @llvm.umin.i64(i64, i64)", "i32 @llvm.umax.i32(i32, i32)", "i32 @llvm.smax.i32(i32, i32)",
            "float @llvm.fabs.f32(float)", "i32 @llvm.fshr.i32(i32, i32, i32)",
        ):  # fmt: skip
            self.calls.add(f"declare {declared}")

    def _opening(self) -> list[str]:
        scratch = [
            f"  %scratch{self.numbers[name]} = alloca [{GROUP} x float], align 64" for name in self.encoded
        ]  # fmt: skip
        first, *rest = super()._opening()
        return [first, *scratch, *rest]

    def _chunk(self) -> list[str]:
        lines = super()._chunk()
        place = tensor_words(self.layout) - 1
        lines += self._word("row.length", "tensor_table", "%tensor.place", place)
        lines += [
            "%row.number = udiv i64 %offset, %row.length",
            "%row.column = urem i64 %offset, %row.length",
            f"%row.padded = add i64 %row.length, {GROUP - 1}",
            f"%row.groups = udiv i64 %row.padded, {GROUP}",
            "%groups.before = mul i64 %row.number, %row.groups",
            f"%groups.inside = udiv i64 %row.column, {GROUP}",
            "%first.group = add i64 %groups.before, %groups.inside",
        ]
        for name in self.scaled_buffers:
            k, scales = self.numbers[name], self.numbers[name.replace("state ", "scales ", 1)]
            lines += self._word(f"s{k}.start", "tensor_table", "%tensor.place", 1 + 2 * scales, "ptr")
            lines.append(f"%s{k} = getelementptr float, ptr %s{k}.start, i64 %first.group")
        return lines

    def _noise(self, k: int) -> list[str]:
        """For a block format the key is 32 bits, to which the index times a constant is added."""
        n = f"%b{k}.n"
        lines = super()._noise(k)
        if list(self.formats)[k] not in self.blocks:
            return lines
        return [*lines, f"{n}.weyl = mul i32 {n}b, {WEYL}", f"{n}.base = add i32 {n}.low, {n}.weyl"]

    # -------------------------------------------------------------------------------------------------- the loops

    def _width(self) -> str:
        """Here the time goes into operations on elements, not into memory: the widest registers are worth it."""
        return ' "prefer-vector-width"="512"' if self.kind == "float" else ""

    def _loop(self, body: list[str]) -> list[str]:
        """Most groups are full. Those have loops of their own, of as many turns as the compiler knows."""
        sums = range(len(self.one.sums))
        inner = self._inner(body)
        ways = [way for way in _ENDS if way in self.ways]
        return [
            "  br label %groups",
            "groups:",
            f"  %group = phi i64 [ 0, {self.entry} ], [ %group.next, %encoded ]",
            f"  %start = phi i64 [ 0, {self.entry} ], [ %stop, %encoded ]",
            f"  %column = phi i64 [ %row.column, {self.entry} ], [ %column.next, %encoded ]",
            *(f"  %sum{k}.before = phi double [ 0.0, {self.entry} ], [ %sum{k}.after, %encoded ]" for k in sums),
            *(f"  {line}" for line in self._bounds()),
            *(f"  {line}" for name in self.scaled_buffers for line in self._scale_of(name)),
            *(f"  {line}" for line in self._fetched()),
            f"  %is.full = icmp eq i64 %count, {GROUP}",
            f"  br i1 %is.full, label %begin.{ways[0]}, label %begin.{ways[-1]}",
            *(line for way in ways for line in renamed(["begin:", _ENDS[way], *inner], way)),
            "encoded:",
            *(
                f"  %sum{k}.after = phi double {', '.join(f'[ %sum{k}.next.{way}, %done.{way} ]' for way in ways)}"
                for k in sums
            ),
            "  %group.next = add nuw nsw i64 %group, 1",
            "  %more.groups = icmp slt i64 %stop, %length",
            "  br i1 %more.groups, label %groups, label %finish",
            "finish:",
            *self._finish([f"%sum{k}.after" for k in sums]),
        ]

    def _inner(self, body: list[str]) -> list[str]:
        """Both loops over the elements of a group."""
        sums = range(len(self.one.sums))
        return [
            "  br label %loop",
            "loop:",
            "  %i = phi i64 [ %start, %begin ], [ %i.next, %loop ]",
            *(f"  %sum{k} = phi double [ %sum{k}.before, %begin ], [ %sum{k}.next, %loop ]" for k in sums),
            *(
                f"  %max{k} = phi i32 [ 0, %begin ], [ %max{k}.next, %loop ]"
                for k in map(self.numbers.__getitem__, self.encoded)
            ),
            "  %i.scratch = sub i64 %i, %start",
            *body,
            "  %i.next = add nuw nsw i64 %i, 1",
            "  %all = icmp eq i64 %i.next, %end",
            "  br i1 %all, label %encode, label %loop",
            "encode:",
            *(f"  {line}" for line in self._encoding()),
            "done:",
            "  br label %encoded",
        ]

    def _bounds(self) -> list[str]:
        """A group ends after so many elements, or with its row, or with the tensor."""
        return [
            "%left = sub nsw i64 %length, %start",
            "%to.end = sub nsw i64 %row.length, %column",
            "%nearer = call i64 @llvm.umin.i64(i64 %left, i64 %to.end)",
            f"%count = call i64 @llvm.umin.i64(i64 %nearer, i64 {GROUP})",
            "%stop = add nuw nsw i64 %start, %count",
            "%column.after = add nuw nsw i64 %column, %count",
            "%row.ends = icmp eq i64 %column.after, %row.length",
            "%column.next = select i1 %row.ends, i64 0, i64 %column.after",
        ]

    def _scale_of(self, name: str) -> list[str]:
        k = self.numbers[name]
        scope = self._scope(name.replace("state ", "scales ", 1))
        return [
            f"%s{k}.at = getelementptr float, ptr %s{k}, i64 %group",
            f"%s{k}.scale = load float, ptr %s{k}.at, align 4, {scope}",
        ]

    def _fetched(self) -> list[str]:
        """Ask for a later group of every tensor; beyond the end nothing is fetched, and nothing happens."""
        lines = [f"%ahead = add i64 %start, {AHEAD * GROUP}"]
        for name in sorted({*self.one.stores, *(n for n in self.read.values() if n)}, key=self.numbers.__getitem__):
            k, form = self.numbers[name], self.formats[name]
            lines.append(f"%b{k}.ahead = getelementptr {stored_as(form)}, ptr %b{k}, i64 %ahead")
            for line in range(0, GROUP * form.bytes, 64):
                lines += [
                    f"%b{k}.ahead.{line} = getelementptr i8, ptr %b{k}.ahead, i64 {line}",
                    f"call void @llvm.prefetch.p0(ptr %b{k}.ahead.{line}, i32 0, i32 3, i32 1)",
                ]
        return lines

    # ----------------------------------------------------------------------------------------------- one element

    def _loaded(self, name: str, buffer: str, at: str) -> list[str]:
        if buffer not in self.blocks:
            return super()._loaded(name, buffer, at)
        k, words = self.numbers[buffer], Words(f"{name}.d")
        single = self.blocks[buffer].decoded(words, f"{name}.word", f"%s{k}.scale")
        lines = [
            f"{name}.code = load i8, ptr {at}, align 1, {self._scope(buffer)}",
            f"{name}.word = zext i8 {name}.code to i32",
            *words.lines,
        ]
        if self.kind == "double":
            return [*lines, f"{name} = fpext float {single} to double"]
        return [*lines[:-1], lines[-1].replace(single, name, 1)]

    def _stored(self, buffer: str, value: str, at: str) -> list[str]:
        if buffer not in self.blocks:
            return super()._stored(buffer, value, at)
        k = self.numbers[buffer]
        lines, words = [], Words(f"%b{k}.m")
        if self.kind == "double":
            lines.append(f"%b{k}.single = fptrunc double {value} to float")
            value = f"%b{k}.single"
        found = self.blocks[buffer].measured(words, value)
        return [
            *lines,
            f"%b{k}.scratch = getelementptr [{GROUP} x float], ptr %scratch{k}, i64 0, i64 %i.scratch",
            f"store float {value}, ptr %b{k}.scratch, align 4",
            *words.lines,
            f"%max{k}.next = call i32 @llvm.umax.i32(i32 %max{k}, i32 {found})",
        ]

    def _encoding(self) -> list[str]:
        """The new scales of a group, and the second loop."""
        if not self.encoded:
            return ["br label %done"]
        head: list[str] = []
        noise: list[str] = []
        body: list[str] = ["%j.scratch = sub i64 %j, %start"]
        for name in self.encoded:
            k, form = self.numbers[name], self.blocks[name]
            words = Words(f"%b{k}.s")
            scale = form.scale(words, f"%max{k}.next")
            scope = self._scope(name.replace("state ", "scales ", 1))
            head += [*words.lines, f"store float {scale}, ptr %s{k}.at, align 4, {scope}"]
            head += [
                f"%b{k}.start.index = trunc i64 %start to i32",
                f"%b{k}.start.weyl = mul i32 %b{k}.start.index, {WEYL}",
                f"%b{k}.first.word = add i32 %b{k}.start.weyl, %b{k}.n.base",
            ]
            noise.append(f"%b{k}.word = phi i32 [ %b{k}.first.word, %encode ], [ %b{k}.word.next, %again ]")
            words = Words(f"%b{k}.e")
            code = form.encoded(words, f"%b{k}.value", scale, f"%b{k}.word")
            body += [
                f"%b{k}.from = getelementptr [{GROUP} x float], ptr %scratch{k}, i64 0, i64 %j.scratch",
                f"%b{k}.value = load float, ptr %b{k}.from, align 4",
                *words.lines,
                f"%b{k}.word.next = add i32 %b{k}.word, {WEYL}",
                f"%b{k}.byte = trunc i32 {code} to i8",
                f"%b{k}.to = getelementptr i8, ptr %b{k}, i64 %j",
                f"store i8 %b{k}.byte, ptr %b{k}.to, align 1, {self._scope(name)}",
            ]
        return [
            *head,
            "br label %again",
            "again:",
            "%j = phi i64 [ %start, %encode ], [ %j.next, %again ]",
            *noise,
            *body,
            "%j.next = add nuw nsw i64 %j, 1",
            "%all.codes = icmp eq i64 %j.next, %end",
            "br i1 %all.codes, label %done, label %again",
        ]
