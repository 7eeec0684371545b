"""Host scalars obey IEEE 754: for every input the value that numpy's float64 gives, and nothing raises."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from zerograd import algebra
from zerograd.algebra.arithmetic import COMPARISONS, HOST, Number

EDGES = [
    0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1 / 3, 1e-300, -1e-300, 5e-324, 1e300, -1e300, 710.0, 1e9,
    math.inf, -math.inf, math.nan,
]  # fmt: skip

NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "mod": np.remainder,
    "neg": np.negative, "abs": np.abs, "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "tanh": np.tanh,
    "maximum": np.maximum, "minimum": np.minimum, "lt": np.less, "le": np.less_equal, "gt": np.greater,
    "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal, "and": np.logical_and, "or": np.logical_or,
    "where": np.where, "lerp": lambda a, b, w: a + w * (b - a),
    "sign": lambda a: np.where(np.isnan(a), 0.0, np.sign(a)),  # torch.sign(nan) is 0, numpy's is nan
}  # fmt: skip
TRUTHS = ("and", "or")
ARITY = {"where": 3, "lerp": 3} | dict.fromkeys(("neg", "abs", "sqrt", "exp", "log", "tanh", "sign"), 1)
ULPS = {"pow": 4, "exp": 4, "log": 4, "tanh": 4}
"""numpy has vectorised routines of its own for these, which differ from libm's in the last places."""

INFIX = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "pow": operator.pow,
    "mod": operator.mod,
}  # fmt: skip


def inputs(op: str) -> list[tuple[Any, ...]]:
    count = ARITY.get(op, 2)
    if op == "where":
        return [(c, a, b) for c in (True, False) for a, b in itertools.product(EDGES, repeat=2)]
    return list(itertools.product((True, False) if op in TRUTHS else EDGES, repeat=count))


def expected(op: str, arguments: tuple[Any, ...]) -> Any:
    with np.errstate(all="ignore"):
        return NUMPY[op](*(np.array([x]) for x in arguments)).item()  # numpy's scalars take short cuts: -inf ** 0.5


def agree(got: float, wanted: float, ulps: int) -> bool:
    if math.isnan(wanted) or math.isnan(got):
        return math.isnan(wanted) and math.isnan(got)
    if wanted == 0 or math.isinf(wanted) or math.isinf(got):
        return got == wanted
    return got == wanted or abs(got - wanted) <= ulps * math.ulp(wanted)


def test_every_operation_has_a_reference() -> None:
    assert NUMPY.keys() == HOST.keys()


@pytest.mark.parametrize("op", sorted(HOST))
def test_host_operation_is_numpys(op: str) -> None:
    for arguments in inputs(op):
        got, wanted = HOST[op](*arguments), expected(op, arguments)
        assert agree(got, wanted, ULPS.get(op, 0)), f"{op}{arguments} gives {got}, numpy {wanted}"


@pytest.mark.parametrize("op", ["add", "sub", "mul", "div", "mod", "neg", "sqrt"])
def test_zeros_and_infinities_keep_their_sign(op: str) -> None:
    for arguments in inputs(op):
        got, wanted = HOST[op](*arguments), expected(op, arguments)
        if not math.isnan(wanted):
            assert math.copysign(1, got) == math.copysign(1, wanted), f"{op}{arguments} gives {got}, numpy {wanted}"


@pytest.mark.parametrize("op", sorted(COMPARISONS))
def test_a_comparison_gives_a_truth_value(op: str) -> None:
    assert all(isinstance(HOST[op](*arguments), bool) for arguments in inputs(op))


@pytest.mark.parametrize("plain", [float, int], ids=["float", "int"])
@pytest.mark.parametrize("op", sorted(INFIX))
def test_a_number_computes_as_the_host_does_on_either_side(op: str, plain: type) -> None:
    edges = EDGES if plain is float else [0, 1, -1, 2, -3, 10**9]
    for a, b in itertools.product(EDGES, edges):
        left, right = INFIX[op](Number(a), plain(b)), INFIX[op](plain(b), Number(a))
        assert isinstance(left, Number)
        assert isinstance(right, Number)
        assert agree(left, HOST[op](a, float(b)), 0), f"Number({a}) {op} {b}"
        assert agree(right, HOST[op](float(b), a), 0), f"{b} {op} Number({a})"


@pytest.mark.parametrize("sign", [operator.neg, operator.pos, operator.abs], ids=["neg", "pos", "abs"])
def test_a_number_stays_one_under_a_sign(sign: Callable[[Any], Any]) -> None:
    """Or else 1 / -x would raise where 1 / x does not."""
    for a in EDGES:
        assert isinstance(sign(Number(a)), Number)
        assert agree(sign(Number(a)), sign(a), 0)
    assert 1 / sign(Number(0.0)) in (math.inf, -math.inf)


@pytest.mark.parametrize("op", ["sqrt", "exp", "log", "tanh", "abs", "sign", "maximum", "minimum", "where", "lerp"])
def test_a_verb_on_plain_numbers_is_the_host_operation_and_can_go_on_dividing_by_zero(op: str) -> None:
    verb = getattr(algebra, op)
    for arguments in inputs(op):
        got = verb(*arguments)
        assert agree(got, HOST[op](*arguments), 0)
        assert isinstance(got, Number)
    assert 1 / algebra.where(True, 0, 1) == math.inf


def test_clamp_keeps_nan_and_lets_the_upper_bound_win() -> None:
    assert math.isnan(algebra.clamp(math.nan, -1.0, 1.0))
    assert [algebra.clamp(x, -1.0, 1.0) for x in (-5, 0.5, 5)] == [-1.0, 0.5, 1.0]
    assert algebra.clamp(0.0, 2.0, 1.0) == 1.0
