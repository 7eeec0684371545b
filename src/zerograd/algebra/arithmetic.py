"""Arithmetic on host scalars as IEEE 754 says: a result for every input, nothing raises.

Python's floats raise on 1/0, sqrt(-1) and on overflow. Rules evaluate both arms of `where`, so the arm that is not
taken may divide by zero; it has to give inf or nan in silence, as it would on tensors.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

inf, nan = math.inf, math.nan


def divide(a: float, b: float) -> float:
    try:
        return a / b
    except ZeroDivisionError:
        return nan if a == 0 or a != a else math.copysign(inf, a) * math.copysign(1.0, b)


def power(a: float, b: float) -> float:
    try:
        result = a**b
    except ZeroDivisionError:  # 0 ** negative: an odd integer exponent keeps the sign of zero
        return math.copysign(inf, a) if b % 2 == 1 else inf
    except OverflowError:
        return -inf if a < 0 and b % 2 == 1 else inf
    return nan if isinstance(result, complex) else result


def remainder(a: float, b: float) -> float:
    """a % b with the sign of b, as Python's and torch's; nan where there is none."""
    try:
        return a % b
    except ZeroDivisionError:
        return nan


def square_root(a: float) -> float:
    return math.sqrt(a) if a >= 0 else nan


def exponential(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return inf


def logarithm(a: float) -> float:
    return math.log(a) if a > 0 else -inf if a == 0 else nan


def signum(a: float) -> float:
    """-1, 0 or 1; 0 for nan, as torch.sign."""
    return float((a > 0) - (a < 0))


def larger(a: float, b: float) -> float:
    return a if a != a or a > b else b


def smaller(a: float, b: float) -> float:
    return a if a != a or a < b else b


def choose(condition: bool, a: Any, b: Any) -> Any:
    return a if condition else b


def interpolate(a: float, b: float, weight: float) -> float:
    return a + weight * (b - a)


HOST: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": divide,
    "pow": power,
    "mod": remainder,
    "neg": operator.neg,
    "abs": operator.abs,
    "sqrt": square_root,
    "exp": exponential,
    "log": logarithm,
    "tanh": math.tanh,
    "sign": signum,
    "maximum": larger,
    "minimum": smaller,
    "where": choose,
    "lerp": interpolate,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
}
"""Every operation of the language on host scalars, by the name that it has in a graph."""

COMPARISONS = frozenset({"lt", "le", "gt", "ge", "eq", "ne", "and", "or"})
"""The operations whose result is a truth value."""


class Number(float):
    """A host scalar to call a rule with directly: a float that divides, and raises to powers, as IEEE 754 says."""

    __slots__ = ()

    def __neg__(self) -> Number:
        return Number(-float(self))

    def __pos__(self) -> Number:
        return self

    def __abs__(self) -> Number:
        return Number(abs(float(self)))


def _install(symbol: str, op: str) -> None:
    function = HOST[op]

    def forward(self: Number, other: Any) -> Any:
        return Number(function(float(self), float(other))) if isinstance(other, (int, float)) else NotImplemented

    def backward(self: Number, other: Any) -> Any:
        return Number(function(float(other), float(self))) if isinstance(other, (int, float)) else NotImplemented

    setattr(Number, f"__{symbol}__", forward)
    setattr(Number, f"__r{symbol}__", backward)


for _symbol, _op in (
    ("add", "add"),
    ("sub", "sub"),
    ("mul", "mul"),
    ("truediv", "div"),
    ("pow", "pow"),
    ("mod", "mod"),
):
    _install(_symbol, _op)
