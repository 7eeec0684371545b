"""LLVM's words for what a kernel says: numbers, loads and stores of each format, operations on elements.

All functions give lines of LLVM's intermediate language. Only ``contract`` is allowed to the compiler (a product and a
sum become one operation): nothing may assume that there are no nan or infinities, for they have to be found.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterable, Sequence

import torch

from zerograd.formats.plain import Format
from zerograd.formats.stochastic import FIRST, SECOND

_STORED = {torch.float32: "float", torch.float64: "double", torch.float16: "half", torch.bfloat16: "i16"}
_STORED[torch.uint8] = "i8"


def stored_as(form: Format) -> str:
    """The type in memory."""
    return _STORED[form.dtype]


INFIX = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
COMPARE = {"lt": "olt", "le": "ole", "gt": "ogt", "ge": "oge", "eq": "oeq", "ne": "une"}
FUNCTIONS = {"sqrt": "sqrt", "abs": "fabs", "exp": "exp", "log": "log", "pow": "pow", "fma": "fma"}
OUTSIDE = {"exp": "exp", "log": "log", "pow": "pow", "tanh": "tanh"}
"""The operations that end in a call of the C library's function of this name (with an f for float)."""


def lanes(count: int, kind: str) -> str:
    """The type of so many elements at once."""
    return f"<{count} x {kind}>" if count > 1 else kind


def alike(count: int, kind: str, value: object) -> str:
    """A constant of that type, the same in all elements."""
    return f"<{', '.join([f'{kind} {value}'] * count)}>" if count > 1 else f"{value}"


def _parts(kind: str) -> tuple[int, str]:
    """How many elements a type has, and which."""
    if not kind.startswith("<"):
        return 1, kind
    count, _, single = kind[1:-1].split(" ")
    return int(count), single


def truth(kind: str) -> str:
    """The type of a comparison of numbers of a type."""
    return lanes(_parts(kind)[0], "i1")


def suffix(kind: str) -> str:
    """How LLVM's own functions name a type."""
    count, single = _parts(kind)
    name = {"float": "f32", "double": "f64"}.get(single, single)
    return f"v{count}{name}" if count > 1 else name


def constant(value: float | bool, kind: str) -> str:
    """A constant: i1, or of a type of numbers."""
    count, single = _parts(kind)
    if count > 1:
        return alike(count, "i1" if isinstance(value, bool) else single, constant(value, single))
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == "float":
        try:
            value = struct.unpack("f", struct.pack("f", value))[0]
        except OverflowError:
            value = math.copysign(math.inf, value)
    return f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"


def load(name: str, address: str, form: Format, kind: str, scope: str) -> list[str]:
    """``name`` becomes the element at an address, as a number of the type of the computation."""
    stored = stored_as(form)
    raw = name if stored == kind else f"{name}.raw"
    lines = [f"{raw} = load {stored}, ptr {address}, align {form.bytes}, {scope}"]
    if stored == "i16":
        single = name if kind == "float" else f"{name}.single"
        lines += [
            f"{name}.wide = zext i16 {raw} to i32",
            f"{name}.bits = shl i32 {name}.wide, 16",
            f"{single} = bitcast i32 {name}.bits to float",
        ]
        raw, stored = single, "float"
    if stored != kind:
        lines.append(f"{name} = fpext {stored} {raw} to {kind}")
    return lines


def store(name: str, value: str, address: str, form: Format, kind: str, scope: str, noise: str = "") -> list[str]:
    """Put a number into memory, rounded once. ``name``: a prefix for what is needed on the way."""
    stored = stored_as(form)
    lines: list[str] = []
    if stored == "i16":
        if kind == "double":  # as torch: through float
            lines.append(f"{name}.single = fptrunc double {value} to float")
            value = f"{name}.single"
        lines.append(f"{name}.bits = bitcast float {value} to i32")
        lines += _stochastic(name, noise) if form.stochastic else _nearest(name)
        value = f"{name}.half"
    elif stored != kind:
        if stored == "half" and kind == "double":  # as torch: through float
            lines.append(f"{name}.single = fptrunc double {value} to float")
            value, kind = f"{name}.single", "float"
        if stored != kind:
            direction = "fpext" if (kind, stored) == ("float", "double") else "fptrunc"
            lines.append(f"{name}.stored = {direction} {kind} {value} to {stored}")
            value = f"{name}.stored"
    return [*lines, f"store {stored} {value}, ptr {address}, align {form.bytes}, {scope}"]


def _nearest(name: str) -> list[str]:
    """float bits to bfloat16, to the nearest, ties to even; nan stays nan."""
    return [
        f"{name}.last = lshr i32 {name}.bits, 16",
        f"{name}.odd = and i32 {name}.last, 1",
        f"{name}.bias = add i32 {name}.odd, 32767",
        f"{name}.up = add i32 {name}.bits, {name}.bias",
        f"{name}.size = and i32 {name}.bits, 2147483647",
        f"{name}.isnan = icmp ugt i32 {name}.size, 2139095040",
        f"{name}.quiet = or i32 {name}.bits, 4194304",
        f"{name}.chosen = select i1 {name}.isnan, i32 {name}.quiet, i32 {name}.up",
        f"{name}.high = lshr i32 {name}.chosen, 16",
        f"{name}.half = trunc i32 {name}.high to i16",
    ]


def _stochastic(name: str, noise: str) -> list[str]:
    """float bits to bfloat16: 16 random bits are added and the low half is cut off; infinities and nan stay."""
    return [
        f"{name}.random = lshr i32 {noise}, 16",
        f"{name}.up = add i32 {name}.bits, {name}.random",
        f"{name}.size = and i32 {name}.bits, 2147483647",
        f"{name}.special = icmp uge i32 {name}.size, 2139095040",
        f"{name}.isnan = icmp ugt i32 {name}.size, 2139095040",
        f"{name}.quiet = or i32 {name}.bits, 4194304",
        f"{name}.kept = select i1 {name}.isnan, i32 {name}.quiet, i32 {name}.bits",
        f"{name}.chosen = select i1 {name}.special, i32 {name}.kept, i32 {name}.up",
        f"{name}.high = lshr i32 {name}.chosen, 16",
        f"{name}.half = trunc i32 {name}.high to i16",
    ]


def hashed(name: str, index: str, key: str) -> list[str]:
    """``name`` becomes 32 random bits for an index, of which the upper 16 are noise: formats.stochastic.noise."""
    return [
        f"{name}.0 = add i32 {index}, {key}",
        f"{name}.1 = lshr i32 {name}.0, 16",
        f"{name}.2 = xor i32 {name}.0, {name}.1",
        f"{name}.3 = mul i32 {name}.2, {FIRST}",
        f"{name}.4 = lshr i32 {name}.3, 15",
        f"{name}.5 = xor i32 {name}.3, {name}.4",
        f"{name}.6 = add i32 {name}.5, {key}.high",
        f"{name}.7 = mul i32 {name}.6, {SECOND}",
        f"{name}.8 = lshr i32 {name}.7, 15",
        f"{name} = xor i32 {name}.7, {name}.8",
    ]


def operation(name: str, op: str, args: list[str], kind: str, arms: str) -> list[str]:
    """``name`` becomes an operation of the language on numbers of one type. ``arms``: the type of a where's arms.

    The type may be one of several elements at once.
    """
    if op in INFIX:
        return [f"{name} = {INFIX[op]} contract {kind} {args[0]}, {args[1]}"]
    if op in COMPARE:
        return [f"{name} = fcmp {COMPARE[op]} {kind} {args[0]}, {args[1]}"]
    if op in ("and", "or"):
        return [f"{name} = {op} {truth(kind)} {args[0]}, {args[1]}"]
    if op == "neg":
        return [f"{name} = fneg {kind} {args[0]}"]
    if op == "where":
        return [f"{name} = select {truth(kind)} {args[0]}, {arms} {args[1]}, {arms} {args[2]}"]
    if op in FUNCTIONS:
        given = ", ".join(f"{kind} {a}" for a in args)
        return [f"{name} = call {kind} @llvm.{FUNCTIONS[op]}.{suffix(kind)}({given})"]
    if op == "tanh":
        return [f"{name} = call {kind} @tanh{'f' if kind == 'float' else ''}({kind} {args[0]})"]
    if op in ("maximum", "minimum"):
        return _extreme(name, op, args, kind)
    if op == "sign":
        zero = constant(0.0, kind)
        return [
            f"{name}.above = fcmp ogt {kind} {args[0]}, {zero}",
            f"{name}.below = fcmp olt {kind} {args[0]}, {zero}",
            f"{name}.up = select {truth(kind)} {name}.above, {kind} {constant(1.0, kind)}, {kind} {zero}",
            f"{name} = select {truth(kind)} {name}.below, {kind} {constant(-1.0, kind)}, {kind} {name}.up",
        ]
    assert op == "lerp", op
    return _lerp(name, args, kind)


def _extreme(name: str, op: str, args: list[str], kind: str) -> list[str]:
    """The larger or the smaller; nan if either is."""
    a, b = args
    better = "ogt" if op == "maximum" else "olt"
    return [
        f"{name}.nan = fcmp uno {kind} {a}, {constant(0.0, kind)}",
        f"{name}.better = fcmp {better} {kind} {a}, {b}",
        f"{name}.first = or {truth(kind)} {name}.nan, {name}.better",
        f"{name} = select {truth(kind)} {name}.first, {kind} {a}, {kind} {b}",
    ]


def _lerp(name: str, args: list[str], kind: str) -> list[str]:
    """a + w (b - a), or b + (w - 1)(b - a) for a weight nearer to 1: as torch, exact at both ends."""
    a, b, weight = args
    return [
        f"{name}.size = call {kind} @llvm.fabs.{suffix(kind)}({kind} {weight})",
        f"{name}.near = fcmp olt {kind} {name}.size, {constant(0.5, kind)}",
        f"{name}.rest = fsub {kind} {weight}, {constant(1.0, kind)}",
        f"{name}.by = select {truth(kind)} {name}.near, {kind} {weight}, {kind} {name}.rest",
        f"{name}.from = select {truth(kind)} {name}.near, {kind} {a}, {kind} {b}",
        f"{name}.way = fsub {kind} {b}, {a}",
        f"{name}.step = fmul contract {kind} {name}.way, {name}.by",
        f"{name} = fadd contract {kind} {name}.from, {name}.step",
    ]


def renamed(lines: Sequence[str], ending: object, more: Iterable[str] = ()) -> list[str]:
    """Lines with names of their own: all that they define, their labels included, and ``more``."""
    own = {line.split(" = ")[0].strip() for line in lines if " = " in line} | set(more)
    labels = {line.strip()[:-1] for line in lines if line.strip().endswith(":")}
    own |= {f"%{label}" for label in labels}

    def called(line: str) -> str:
        if line.strip()[:-1] in labels and line.strip().endswith(":"):
            return line.replace(":", f".{ending}:")
        return re.sub(r"%[\w.]+", lambda m: f"{m[0]}.{ending}" if m[0] in own else m[0], line)

    return [called(line) for line in lines]
