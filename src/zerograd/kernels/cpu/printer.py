"""The printer: one pass of a graph as a function in LLVM's intermediate language.

The function takes the address of a descriptor (see ``table``) and works on chunks, which it takes from a counter, until
none is left. Every tensor has an alias scope of its own: the compiler is told that none of them overlaps another, which
is what the admission of tensors makes sure of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zerograd.algebra.graph import Node
from zerograd.algebra.roles import vanishes
from zerograd.algebra.tracing import Graph
from zerograd.formats.layout import Layout
from zerograd.kernels.cpu import machine
from zerograd.kernels.cpu.merging import Merging, merged
from zerograd.kernels.cpu.passes import Pass
from zerograd.kernels.cpu.words import OUTSIDE, constant, hashed, load, operation, store, stored_as, truth

ENTRY = "zerograd_kernel"
COUNTER, CHUNKS, CHUNK_TABLE, TENSOR_TABLE, LATE_TABLE, SUMS = range(6)
"""The words of a descriptor: the counter, the number of chunks, and where the tables are."""

CHUNK_WORDS = 3
"""A row of the chunk table: number of the tensor, offset and length in elements."""

SCALE, NOISE_KEY, FIRST_SCALAR = range(3)
"""The words of a row of scalars: what the gradient is multiplied by, the noise of this step, then the graph's own."""

AHEAD, FETCHED = 4, 4
"""How many tensors ahead memory is fetched, and how many lines of 64 bytes. The tensor table has as many empty rows at
its end."""


def tensor_words(layout: Layout) -> int:
    """Words in a row of the tensor table: address of the scalars' row, then for each buffer address and noise, and the
    length of a row of groups at the end."""
    return 1 + 2 * len(layout.buffers) + bool(layout.blocks)


def leaves_of(graph: Graph) -> dict[int, str]:
    """Node's id -> buffer, for all that a graph reads from memory."""
    states = {graph.old[name].id: f"state {name}" for name in graph.tensor_states}
    return {graph.g.id: "g", graph.p_old.id: "p", **states}


class PassPrinter:
    """Prints one pass.

    leaves: node's id -> buffer. host: the graph's host numbers in the order of a row. late: those that reductions give.
    scaled: whether the gradient is multiplied by the row's scale.
    """

    def __init__(
        self, title: str, leaves: Mapping[int, str], layout: Layout, one: Pass, host: Sequence[Node],
        late: Sequence[Node], *, scaled: bool = True,
    ) -> None:  # fmt: skip
        self.title, self.layout, self.one, self.scaled = title, layout, one, scaled
        self.kind = "double" if layout.double else "float"
        self.formats = dict(layout.buffers)
        self.numbers = {name: k for k, (name, _) in enumerate(layout.buffers)}
        self.host = {node.id: FIRST_SCALAR + i for i, node in enumerate(host)}
        self.late = {node.id: i for i, node in enumerate(late)}
        self.read = {n.id: one.known.get(n.id) or leaves.get(n.id) for n in one.elements()}
        self.calls: set[str] = set()
        self.merging = Merging(one, self.read)

    def source(self) -> str:
        """The module's text: the function, what it calls, the alias scopes."""
        body = [f"  {line}" for line in self._body()]
        lines = [
            f"; {self.title}: {self.layout}",
            f"define i64 @{ENTRY}(i64 %descriptor){self._width()} {{",
            *self._opening(),
            *(f"  {line}" for line in self._chunk()),
            *self._loop(body),
            "end:",
            "  ret i64 0",
            "}",
            *sorted(self.calls),
            *self._scopes(),
        ]
        return "\n".join(lines) + "\n"

    @property
    def needs(self) -> tuple[str, ...]:
        """The functions of the C library that the code calls; known after ``source``."""
        suffix = "f" if self.kind == "float" else ""
        return tuple(sorted({f"{OUTSIDE[n.op]}{suffix}" for n in self.one.elements() if n.op in OUTSIDE}))

    # ------------------------------------------------------------------------------------------------- the frame

    def _width(self) -> str:
        """Sums are twice as wide as the float32 elements they are of. Where LLVM would rather not use registers of 512
        bits, whole ones of sums are still worth it: else the elements fill halves of 256."""
        return ' "prefer-vector-width"="512"' if self.one.sums and self.kind == "float" else ""

    def _opening(self) -> list[str]:
        lines = ["entry:", "  %words = inttoptr i64 %descriptor to ptr"]
        for name, word, kind in (
            ("chunks", CHUNKS, "i64"), ("chunk_table", CHUNK_TABLE, "ptr"), ("tensor_table", TENSOR_TABLE, "ptr"),
            ("late_table", LATE_TABLE, "ptr"), ("sums", SUMS, "ptr"),
        ):  # fmt: skip
            lines.append(f"  %{name}.at = getelementptr i64, ptr %words, i64 {word}")
            lines.append(f"  %{name} = load {kind}, ptr %{name}.at, align 8")
        return [
            *lines,
            "  br label %next",
            "next:",
            "  %chunk = atomicrmw add ptr %words, i64 1 monotonic, align 8",
            "  %done = icmp sge i64 %chunk, %chunks",
            "  br i1 %done, label %end, label %work",
            "work:",
        ]

    def _chunk(self) -> list[str]:
        """What holds for a whole chunk: its tensor, addresses, scalars."""
        lines = [f"%place = mul i64 %chunk, {CHUNK_WORDS}"]
        lines += self._word("tensor", "chunk_table", "%place", 0)
        lines += self._word("offset", "chunk_table", "%place", 1)
        lines += self._word("length", "chunk_table", "%place", 2)
        lines.append(f"%tensor.place = mul i64 %tensor, {tensor_words(self.layout)}")
        lines += self._word("row", "tensor_table", "%tensor.place", 0, "ptr")
        for name in sorted({*self.one.stores, *(n for n in self.read.values() if n)}, key=self.numbers.__getitem__):
            k = self.numbers[name]
            lines += self._word(f"b{k}.start", "tensor_table", "%tensor.place", 1 + 2 * k, "ptr")
            lines.append(f"%b{k} = getelementptr {stored_as(self.formats[name])}, ptr %b{k}.start, i64 %offset")
            lines += self._fetch(k)
            if name in self.one.stores and self.formats[name].stochastic:
                lines += self._noise(k)
        if self.scaled and "g" in self.read.values():
            lines += self._scalar("scale", "row", SCALE)
        if self.late:
            lines += [
                f"%late.place = mul i64 %tensor, {len(self.late)}",
                "%late = getelementptr double, ptr %late_table, i64 %late.place",
            ]
        for node in self.one.scalars():
            if node.id in self.late:
                lines += self._scalar(f"v{node.id}", "late", self.late[node.id], node.is_bool)
            else:
                lines += self._scalar(f"v{node.id}", "row", self.host[node.id], node.is_bool)
        return lines

    def _fetch(self, k: int) -> list[str]:
        """Ask for the beginning of a later tensor: of small ones the processor can't guess where the next one lies."""
        n = f"%b{k}.later"
        self.calls.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        word = AHEAD * tensor_words(self.layout) + 1 + 2 * k
        lines = self._word(f"b{k}.later", "tensor_table", "%tensor.place", word, "ptr")
        for line in range(FETCHED):
            lines += [
                f"{n}.{line} = getelementptr i8, ptr {n}, i64 {64 * line}",
                f"call void @llvm.prefetch.p0(ptr {n}.{line}, i32 0, i32 3, i32 1)",
            ]
        return lines

    def _word(self, name: str, table: str, place: str, word: int, kind: str = "i64") -> list[str]:
        return [
            f"%{name}.index = add i64 {place}, {word}",
            f"%{name}.at = getelementptr i64, ptr %{table}, i64 %{name}.index",
            f"%{name} = load {kind}, ptr %{name}.at, align 8",
        ]

    def _scalar(self, name: str, row: str, index: int, is_bool: bool = False) -> list[str]:
        lines = [
            f"%{name}.at = getelementptr double, ptr %{row}, i64 {index}",
            f"%{name}.wide = load double, ptr %{name}.at, align 8",
        ]
        if is_bool:
            return [*lines, f"%{name} = fcmp une double %{name}.wide, {constant(0.0, 'double')}"]
        if self.kind == "double":
            return [*lines[:1], f"%{name} = load double, ptr %{name}.at, align 8"]
        return [*lines, f"%{name} = fptrunc double %{name}.wide to float"]

    def _noise(self, k: int) -> list[str]:
        """The key of the noise of this tensor and step, with the chunk's offset; as formats.stochastic has it."""
        n = f"%b{k}.n"
        return [
            *self._word(f"b{k}.stream", "tensor_table", "%tensor.place", 2 + 2 * k),
            f"{n}key.at = getelementptr i64, ptr %row, i64 {NOISE_KEY}",
            f"{n}key = load i64, ptr {n}key.at, align 8",
            f"{n}0 = xor i64 {n}key, %b{k}.stream",
            f"{n}1 = lshr i64 {n}0, 30",
            f"{n}2 = xor i64 {n}0, {n}1",
            f"{n}3 = mul i64 {n}2, {0xBF58476D1CE4E5B9}",
            f"{n}4 = lshr i64 {n}3, 27",
            f"{n}5 = xor i64 {n}3, {n}4",
            f"{n}6 = mul i64 {n}5, {0x94D049BB133111EB}",
            f"{n}7 = lshr i64 {n}6, 31",
            f"{n}9 = xor i64 {n}6, {n}7",
            f"{n}.low = trunc i64 {n}9 to i32",
            f"{n}a = lshr i64 {n}9, 32",
            f"{n}.high = trunc i64 {n}a to i32",
            f"{n}b = trunc i64 %offset to i32",
            f"{n} = add i32 {n}.low, {n}b",
        ]

    def _loop(self, body: list[str]) -> list[str]:
        """The loop over elements. Sums are kept in float64: the loop waits for memory, not for them."""
        count = len(self.one.sums)
        return [
            "  br label %loop",
            "loop:",
            "  %i = phi i64 [ 0, %work ], [ %i.next, %loop ]",
            *(f"  %sum{k} = phi double [ 0.0, %work ], [ %sum{k}.next, %loop ]" for k in range(count)),
            *body,
            "  %i.next = add nuw nsw i64 %i, 1",
            "  %more = icmp slt i64 %i.next, %length",
            "  br i1 %more, label %loop, label %finish",
            "finish:",
            *self._finish([f"%sum{k}.next" for k in range(count)]),
        ]

    def _finish(self, totals: Sequence[str]) -> list[str]:
        """The end of a chunk: its sums go into their table."""
        lines = []
        for k, total in enumerate(totals):
            lines += [
                f"  %out{k}.place = mul i64 %chunk, {len(totals)}",
                f"  %out{k}.index = add i64 %out{k}.place, {k}",
                f"  %out{k} = getelementptr double, ptr %sums, i64 %out{k}.index",
                f"  store double {total}, ptr %out{k}, align 8",
            ]
        return [*lines, "  br label %next"]

    # ----------------------------------------------------------------------------------------------- one element

    def _body(self) -> list[str]:
        lines: list[str] = []
        addressed: set[str] = set()

        def address(name: str) -> str:
            k = self.numbers[name]
            if name not in addressed:
                addressed.add(name)
                lines.append(f"%b{k}.i = getelementptr {stored_as(self.formats[name])}, ptr %b{k}, i64 %i")
            return f"%b{k}.i"

        for node in self.one.elements():
            name = f"%v{node.id}"
            buffer = self.read[node.id]
            if buffer is None:
                lines += self._operation(name, node)
                continue
            scaled = self.scaled and buffer == "g"
            raw = f"{name}.loaded" if scaled else name
            lines += self._loaded(raw, buffer, address(buffer))
            if scaled:
                lines.append(f"{name} = fmul {self.kind} {raw}, %scale")
        for name, node in self.one.stores.items():
            at = address(name)
            lines += self._stored(name, self._value(node), at)
        for k, node in enumerate(self.one.sums):
            lines += self._sum(k, node)
        return lines

    def _loaded(self, name: str, buffer: str, at: str) -> list[str]:
        """``name`` becomes the element of a buffer at an address."""
        return load(name, at, self.formats[buffer], self.kind, self._scope(buffer))

    def _stored(self, buffer: str, value: str, at: str) -> list[str]:
        """A value is put into a buffer at an address."""
        k, noise = self.numbers[buffer], ""
        lines: list[str] = []
        if self.formats[buffer].stochastic:
            noise = f"%b{k}.noise"
            lines += [f"%b{k}.index = trunc i64 %i to i32", *hashed(noise, f"%b{k}.index", f"%b{k}.n")]
        return lines + store(f"%b{k}.s", value, at, self.formats[buffer], self.kind, self._scope(buffer), noise)

    def _sum(self, k: int, node: Node) -> list[str]:
        value = self._value(node.nodes[0])
        lines = []
        if self.kind == "float":
            lines.append(f"%wide{k} = fpext float {value} to double")
            value = f"%wide{k}"
        if node.op == "norm":
            lines.append(f"%square{k} = fmul contract double {value}, {value}")
            value = f"%square{k}"
        return [*lines, f"%sum{k}.next = fadd reassoc contract double %sum{k}, {value}"]

    def _operation(self, name: str, node: Node) -> list[str]:
        arms = truth(self.kind) if node.is_bool else self.kind
        values = [self._value(a) for a in node.nodes]
        lines = operation(name, node.op, values, self.kind, arms)
        if machine.fuses() and self.merging.is_needed(node):
            factors = [[self._value(a) for a in product.nodes] for product in node.nodes]
            lines = merged(name, node.op, values, factors, self.kind)
        if node.op == "mul" and vanishes(node.nodes[1]):
            zero = constant(0.0, self.kind)
            lines = operation(f"{name}.product", "mul", values, self.kind, arms)
            lines.append(f"{name}.left.out = fcmp oeq {self.kind} {values[1]}, {zero}")
            lines += operation(name, "where", [f"{name}.left.out", zero, f"{name}.product"], self.kind, arms)
        for line in lines:
            if " call " in line:
                self.calls.add(_declaration(line.split(" call ")[1]))
        return lines

    def _value(self, node: Node) -> str:
        return constant(node.args[0], self.kind) if node.op == "const" else f"%v{node.id}"

    # ------------------------------------------------------------------------------------------- who overlaps whom

    def _scope(self, name: str) -> str:
        count, k = len(self.numbers), self.numbers[name]
        return f"!alias.scope !{1 + count + k}, !noalias !{1 + 2 * count + k}"

    def _scopes(self) -> list[str]:
        count = len(self.numbers)
        everyone = [f"!{1 + k}" for k in range(count)]
        lines = ['!0 = distinct !{!0, !"zerograd"}']
        lines += [f'!{1 + k} = distinct !{{!{1 + k}, !0, !"{name}"}}' for name, k in self.numbers.items()]
        lines += [f"!{1 + count + k} = !{{{everyone[k]}}}" for k in range(count)]
        for k in range(count):
            others = ", ".join(one for j, one in enumerate(everyone) if j != k)
            lines.append(f"!{1 + 2 * count + k} = !{{{others}}}")
        return lines


def _declaration(call: str) -> str:
    """The line that makes a function known, from a call of it."""
    result, rest = call.split(" @", 1)
    function, arguments = rest.split("(", 1)
    return f"declare {result} @{function}({', '.join([result] * len(arguments.split(f'{result} ')[1:]))})"
