"""The rows of a table in machine code: the numbers of a step that move with it, as ``prelude`` has them in Python.

Bias corrections and the like, from the hyper-parameters and the steps taken: the same operations in float64 in the same
order, hence the same bits, without a line of Python in a steady step.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from zerograd.algebra.graph import Node
from zerograd.kernels.cpu.counting import LOOP, Call
from zerograd.kernels.cpu.kernel import function_at
from zerograd.kernels.cpu.printer import COUNTER, FIRST_SCALAR, SCALE
from zerograd.kernels.cpu.table import Table
from zerograd.kernels.cpu.words import OUTSIDE, constant, operation
from zerograd.kernels.prelude import Prelude

_UNPRINTED = frozenset({"mod", "lerp", "state"})
"""What a row in machine code can't hold: operations that are others on elements, and numbers that Python keeps."""


def can_be_printed(prelude: Prelude) -> bool:
    """Whether machine code can compute the rows; else Python does."""
    return not any(node.op in _UNPRINTED for node in prelude.moving)


class Rows:
    """The rows of one table. call: computes all of them, and makes the table's chunks ready to be taken.

    places: of each row, the address of the number of steps taken, 0 where these are not counted; whether it is float64
    (else float32); whether the rule climbs. scale: the address of what the gradients of a step are multiplied by.
    """

    def __init__(self, prelude: Prelude, table: Table, places: Sequence[tuple[int, bool, bool]], scale: int) -> None:
        self._settled = np.zeros((len(places), max(1, len(prelude.settled_nodes))), np.float64)
        start, width = int(self._settled.ctypes.data), self._settled.strides[0]
        words = [len(places)]
        for number, ((counter, wide, climbs), row) in enumerate(zip(places, table.scales, strict=True)):
            words += [start + number * width, counter, wide, row, table.descriptor, scale, climbs]
        self._words = np.array(words, np.int64)
        source, needs = _printed(prelude)
        self.call: Call = (function_at(source, needs), int(self._words.ctypes.data))

    def settle(self, row: int, values: Sequence[Any]) -> None:
        """What the prelude made of the hyper-parameters, for the steps to come."""
        self._settled[row, : len(values)] = values


@functools.cache
def _printed(prelude: Prelude) -> tuple[str, tuple[str, ...]]:
    """The module that computes rows, and the functions of the C library that it calls."""
    lines = _load("ptr", "out", "%row", 3) + _load("ptr", "table", "%row", 4)
    lines += [f"%chunks.at = getelementptr i64, ptr %table, i64 {COUNTER}", "store i64 0, ptr %chunks.at, align 8"]
    lines += _SCALE
    lines += ["%settled = inttoptr i64 %first to ptr", *_COUNT]
    lines += [line for i, node in enumerate(prelude.settled_nodes) for line in _settled(node, i)]
    lines += [line for node in prelude.moving for line in _computed(node)]
    for i, node in enumerate(prelude.nodes):
        value = _name(node)
        if node.is_bool:
            lines.append(f"%number.{i} = uitofp i1 {value} to double")
            value = f"%number.{i}"
        lines.append(f"%out.{i} = getelementptr double, ptr %out, i64 {FIRST_SCALAR + i}")
        lines.append(f"store double {value}, ptr %out.{i}, align 8")
    needs = tuple(sorted({OUTSIDE[node.op] for node in prelude.moving if node.op in OUTSIDE}))
    declared = [f"declare double @{name}({'double, double' if name == 'pow' else 'double'})" for name in needs]
    declared += [f"declare double @llvm.{name}.f64(double)" for name in ("sqrt", "fabs")]
    work = "\n".join(line if line.endswith(":") else f"  {line}" for line in [*lines, "br label %done"])
    return "\n".join([LOOP.format(width=7, work=work), *declared, ""]), needs


def _load(kind: str, name: str, base: str, word: int) -> list[str]:
    return [
        f"%{name}.at = getelementptr i64, ptr {base}, i64 {word}",
        f"%{name} = load {kind}, ptr %{name}.at, align 8",
    ]


_COUNT = [
    "%counter = inttoptr i64 %second to ptr",
    *_load("i64", "wide", "%row", 2),
    "%is.wide = icmp ne i64 %wide, 0",
    "%counted = icmp ne i64 %second, 0",
    "br i1 %counted, label %count, label %computed",
    "count:",
    "br i1 %is.wide, label %double, label %single",
    "double:",
    "%count.double = load double, ptr %counter, align 8",
    "br label %computed",
    "single:",
    "%count.float = load float, ptr %counter, align 4",
    "%count.single = fpext float %count.float to double",
    "br label %computed",
    "computed:",
    "%taken = phi double [ %count.double, %double ], [ %count.single, %single ], [ 0.0, %work ]",
    "%t = fadd double %taken, 1.0",
]
"""The step to come is one more than the steps taken, where these are counted."""


_SCALE = [
    *_load("ptr", "given", "%row", 5),
    *_load("i64", "climbs", "%row", 6),
    "%upward = load double, ptr %given, align 8",
    "%downward = fneg double %upward",
    "%is.climbing = icmp ne i64 %climbs, 0",
    "%scale = select i1 %is.climbing, double %downward, double %upward",
    f"%scale.at = getelementptr double, ptr %out, i64 {SCALE}",
    "store double %scale, ptr %scale.at, align 8",
]
"""What the gradients of the row are multiplied by; clipping, if there is any, comes later and has its own."""


def _name(node: Node) -> str:
    if node.op == "const":
        return constant(node.args[0], "double")
    return "%t" if node.op == "t" else f"%v{node.id}"


def _settled(node: Node, place: int) -> list[str]:
    name = _name(node)
    number = f"{name}.number" if node.is_bool else name
    lines = [f"{name}.at = getelementptr double, ptr %settled, i64 {place}"]
    lines.append(f"{number} = load double, ptr {name}.at, align 8")
    return [*lines, f"{name} = fcmp une double {number}, 0.0"] if node.is_bool else lines


def _computed(node: Node) -> list[str]:
    name, values = _name(node), [_name(a) for a in node.nodes]
    if node.op == "first":  # a plan is for tensors whose states exist
        return [f"{name} = icmp ne i1 false, false"]
    if node.op in OUTSIDE:  # the very function that Python calls, and no other that LLVM may know of
        arguments = ", ".join(f"double {value}" for value in values)
        return [f"{name} = call double @{OUTSIDE[node.op]}({arguments}) nobuiltin"]
    lines = operation(name, node.op, values, "double", "i1" if node.is_bool else "double")
    return [line.replace(" contract ", " ") for line in lines]
