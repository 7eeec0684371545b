"""What the builder rewrites keeps its value: to a few units in the last place of the largest number on the way.

Each random expression is built twice, with the rewriting and without, and evaluated in exact fractions too.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zerograd import algebra
from zerograd.algebra.arithmetic import HOST
from zerograd.algebra.graph import Builder, Level, Node, ancestors
from zerograd.algebra.symbols import SymbolBuilder

EPSILON = math.ulp(1.0)
ULPS = 64  # an expression here has at most about 30 operations, each of which may round by half a unit

LEAVES = {
    "g": Level.ELEMENT,
    "p": Level.ELEMENT,
    "s": Level.ELEMENT,
    "k": Level.TENSOR,
    "h": Level.GROUP,
    "w": Level.GROUP,
}
CONSTANTS = (0.0, 1.0, 2.0, -1.0, 0.1, 3.0)
BINARY = {"add": "+", "sub": "-", "mul": "*", "maximum": "max", "minimum": "min"}


class Literal(Builder):
    """A builder that takes every expression as it stands."""

    def _simplify(self, op: str, args: tuple[Node, ...]) -> Node | None:  # noqa: ARG002
        return None


Tree = tuple[Any, ...]
"""("leaf", name), ("const", number), or (operation, operand, ...)."""


def trees() -> st.SearchStrategy[Tree]:
    leaf = st.sampled_from([("leaf", name) for name in LEAVES] + [("const", c) for c in CONSTANTS])

    def larger(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
        whole = leaf.filter(lambda x: x != ("const", 0.0))
        divisor = st.one_of(st.tuples(st.just("positive"), inner), whole, st.tuples(st.just("mul"), whole, whole))
        return st.one_of(
            st.tuples(st.sampled_from(sorted(BINARY)), inner, inner),
            st.tuples(st.just("sub"), leaf, inner),
            st.tuples(st.just("div"), inner, divisor),
            st.tuples(st.just("lerp"), inner, inner, leaf),
            st.tuples(st.sampled_from(["neg", "abs", "square"]), inner),
            st.tuples(st.just("where"), st.sampled_from([True, False]), inner, inner),
            inner.flatmap(
                lambda x: st.tuples(st.just("sub"), st.just(x), st.tuples(st.just("sub"), st.just(x), inner))
            ),
        )

    return st.recursive(leaf, larger, max_leaves=16)


def build(builder: Builder, tree: Tree) -> Node:
    op, *operands = tree
    if op == "leaf":
        return builder.leaf(operands[0], level=LEAVES[operands[0]])
    if op == "const":
        return builder.const(operands[0])
    if op == "square":
        return builder.apply("pow", build(builder, operands[0]), 2.0)
    if op == "positive":
        return builder.apply("add", builder.apply("abs", build(builder, operands[0])), 1.0)
    if op == "where":
        condition = builder.apply("gt" if operands[0] else "lt", build(builder, ("leaf", "h")), 0.0)
        return builder.apply("where", condition, *(build(builder, x) for x in operands[1:]))
    return builder.apply(op, *(build(builder, x) for x in operands))


def evaluate(node: Node, leaves: dict[str, float]) -> float:
    values: dict[int, Any] = {}
    for n in ancestors([node]):
        if n.op == "const":
            values[n.id] = n.args[0]
        else:
            values[n.id] = HOST[n.op](*(values[a.id] for a in n.nodes)) if n.nodes else leaves[n.op]
    return float(values[node.id])


@dataclass(frozen=True)
class Exact:
    """A value without rounding, and the size of the numbers that it was computed from: what rounding is relative to."""

    value: Fraction
    size: Fraction


def exact(tree: Tree, leaves: dict[str, float]) -> Exact:
    op, *operands = tree
    if op in ("leaf", "const"):
        value = Fraction(leaves[operands[0]] if op == "leaf" else operands[0])
        return Exact(value, abs(value))
    if op == "where":
        return exact(operands[1] if operands[0] else operands[2], leaves)
    x = exact(operands[0], leaves)
    if op in ("neg", "abs"):
        return Exact(-x.value if op == "neg" else abs(x.value), x.size)
    if op == "positive":
        return Exact(abs(x.value) + 1, x.size + 1)
    if op == "square":
        return Exact(x.value**2, x.size**2)
    y = exact(operands[1], leaves)
    if op == "lerp":
        w = exact(operands[2], leaves)
        return Exact(x.value + w.value * (y.value - x.value), x.size + w.size * (x.size + y.size))
    if op == "mul":
        return Exact(x.value * y.value, x.size * y.size)
    if op == "div":
        return Exact(x.value / y.value, x.size * y.size / y.value**2)
    choose: Callable[[Any, Any], Any] = {"add": operator.add, "sub": operator.sub, "maximum": max, "minimum": min}[op]
    return Exact(choose(x.value, y.value), x.size + y.size)


moderate = st.floats(0.25, 4.0).map(lambda x: x) | st.floats(-4.0, -0.25)


@settings(max_examples=400, deadline=None)
@given(
    tree=trees(), values=st.lists(moderate, min_size=3, max_size=3), positive=st.lists(st.floats(0.25, 4.0), min_size=3)
)
def test_a_simplified_expression_has_the_same_value(tree: Tree, values: list[float], positive: list[float]) -> None:
    leaves = dict(zip(LEAVES, [*values, *positive[:3]], strict=True))
    simplified, literal = build(Builder(), tree), build(Literal(), tree)
    wanted = exact(tree, leaves)
    room = ULPS * EPSILON * float(wanted.size)
    for node in (simplified, literal):
        assert abs(evaluate(node, leaves) - float(wanted.value)) <= room, f"{ancestors([node])} at {leaves}"
    assert simplified.level >= literal.level
    assert len(ancestors([simplified])) <= 2 * len(ancestors([literal]))


@pytest.mark.parametrize(
    ("text", "operations"),
    [
        pytest.param("g / h", ["mul"], id="dividing by a number is multiplying"),
        pytest.param("g * h * k", ["mul"], id="factors are gathered"),
        pytest.param("k * (h * g)", ["mul"], id="wherever they stand"),
        pytest.param("(g * h) * (p * k)", ["mul", "mul", "mul"], id="but not of both sides: they might overflow"),
        pytest.param("(g * h) / (p * k)", ["div", "mul"], id="and those below"),
        pytest.param("p - g * h", ["mul", "add"], id="a step is added"),
        pytest.param("p - (p - g)", [], id="where p went is the step"),
        pytest.param("g ** 2", ["mul"], id="a square is a product"),
        pytest.param("g + p * 0", [], id="nothing is not added"),
        pytest.param("(g - 0) * 1", [], id="nor taken away, and 1 is no factor"),
        pytest.param("lerp(g, p, h)", ["lerp"], id="lerp is one operation"),
        pytest.param("lerp(g, p, 0)", [], id="and nothing with weight 0"),
        pytest.param("where(1 > 0, g, p * p)", [], id="a choice that is made already"),
    ],
)
def test_work_moves_to_the_host(text: str, operations: list[str]) -> None:
    builder = SymbolBuilder({})
    symbols = {name: builder.leaf(name, level=level) for name, level in LEAVES.items()}
    node = eval(text, {"lerp": algebra.lerp, "where": algebra.where}, symbols)
    assert [n.op for n in ancestors([node]) if n.level == Level.ELEMENT and n.nodes] == operations


def test_an_expression_that_is_written_twice_is_one_node() -> None:
    builder = Builder()
    g, p = (builder.leaf(name, level=Level.ELEMENT) for name in "gp")
    assert builder.apply("sub", g, p) is builder.apply("sub", g, p)
    assert builder.apply("sub", g, p) is not builder.apply("sub", p, g)
    assert builder.const(1) is builder.const(1.0)
    assert builder.const(True) is not builder.const(1.0)
    assert builder.const(0.0) is not builder.const(-0.0)
