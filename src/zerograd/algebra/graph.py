"""The expression graph of a rule: nodes, the level on which each value lives, and the builder that makes them.

A node is made once for each expression (hash-consing), constants are folded, and factors that are one number for a
whole tensor are gathered so that they are multiplied on the host, once a step, and not in every element.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from zerograd.algebra.arithmetic import COMPARISONS, HOST
from zerograd.errors import RuleError


class Level(IntEnum):
    """How many numbers a value is: one an element, a tensor, a group, or one in all. Finer is smaller."""

    ELEMENT = 0
    TENSOR = 1
    GROUP = 2
    ALL = 3


PER = {"tensor": Level.TENSOR, "group": Level.GROUP, "all": Level.ALL}
REDUCTIONS = frozenset({"total", "norm", "mean"})

VERBS = "sqrt exp log tanh abs sign where minimum maximum clamp lerp, total norm mean, + - * / ** % & | < <= > >= == !="


class Node:
    """One value of a graph.

    op: an operation of the language, or a leaf: g, p, state, hyper, const, t, first.
    args: nodes; for a leaf its payload (a state's name, a constant, ...).
    late: the value hangs on a reduction over tensors, so the host does not know it before the pass that makes it.
    stage: how many reductions lie on the way to it (the number of the pass that can compute it).
    """

    __slots__ = ("args", "builder", "id", "is_bool", "late", "level", "op", "stage")

    def __init__(
        self,
        builder: Builder,
        op: str,
        args: tuple[Any, ...],
        level: Level,
        *,
        late: bool,
        stage: int,
        is_bool: bool,
        number: int,
    ) -> None:
        self.builder, self.op, self.args, self.level = builder, op, args, level
        self.late, self.stage, self.is_bool, self.id = late, stage, is_bool, number

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes that this one is computed from."""
        return tuple(a for a in self.args if isinstance(a, Node))

    @property
    def on_host(self) -> bool:
        """A number that Python computes before the first pass."""
        return self.level > Level.ELEMENT and not self.late

    def is_const(self, value: float | None = None) -> bool:
        return self.op == "const" and (value is None or (self.args[0] == value and not self.is_bool))

    def __repr__(self) -> str:
        inside = ", ".join(f"%{a.id}" if isinstance(a, Node) else repr(a) for a in self.args)
        return f"%{self.id} = {self.op}({inside})"


def by_stage(nodes: Iterable[Node]) -> list[Node]:
    """Nodes in the order in which every backend computes them: pass by pass, a pass after the reductions that end the
    one before. Backends that share a reduction over a group ask for the parts of it in the same order then."""
    return sorted(nodes, key=lambda n: (n.stage, n.op not in REDUCTIONS, n.id))


def ancestors(nodes: Iterable[Node]) -> list[Node]:
    """The nodes and all that they are computed from, each after those that it needs."""
    seen: dict[int, Node] = {}
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if node.id not in seen:
            seen[node.id] = node
            todo += node.nodes
    return [seen[i] for i in sorted(seen)]


class Builder:
    """Makes the nodes of one graph. ``node_type`` is Node, or the symbols that a rule is traced with."""

    def __init__(self, node_type: type[Node] = Node) -> None:
        self._made: dict[tuple[Any, ...], Node] = {}
        self._node_type = node_type

    def leaf(self, op: str, *payload: Any, level: Level, late: bool = False, is_bool: bool = False) -> Node:
        return self._make(op, payload, level, late=late, stage=0, is_bool=is_bool)

    def const(self, value: Any) -> Node:
        if isinstance(value, Node):
            if value.builder is not self:
                raise RuleError("a value of another trace was used: a rule may not keep values between calls")
            return value
        if not isinstance(value, (bool, int, float)):
            raise RuleError(
                f"{value!r} is no number: a rule computes with numbers, its arguments and the verbs {VERBS}"
            )
        plain = value if isinstance(value, bool) else float(value)
        return self._make("const", (plain,), Level.ALL, late=False, stage=0, is_bool=isinstance(value, bool))

    def reduction(self, kind: str, operand: Node, per: str) -> Node:
        if per not in PER:
            raise RuleError(f"{kind}(..., per={per!r}): per is 'tensor', 'group' or 'all'")
        operand = self._as_number(operand)
        if operand.level == Level.ELEMENT:
            return self._make(kind, (operand, per), PER[per], late=True, stage=operand.stage + 1, is_bool=False)
        if operand.is_const(0.0):  # of elements that were multiplied by a weight decay of 0
            return operand
        raise RuleError(f"{kind}() of a value that is one number already; it reduces the elements of tensors")

    def apply(self, op: str, *operands: Any) -> Node:
        """The node of ``op`` on ``operands``, simplified where that changes no value beyond the last bit or two."""
        args = tuple(self.const(x) for x in operands)
        if op == "where":
            args = (_truth(args[0], "where(condition, a, b)"), *self._alike(args[1], args[2]))
        elif op in ("and", "or"):
            args = tuple(_truth(x, "& and |") for x in args)
        else:
            args = tuple(self._as_number(x) for x in args)
        if all(x.op == "const" for x in args):
            return self.const(HOST[op](*(x.args[0] for x in args)))
        simpler = self._simplify(op, args)
        if simpler is not None:
            return simpler
        if op == "mod" and min(x.level for x in args) == Level.ELEMENT:
            raise RuleError("% works on host scalars (t, hyper-parameters, scalar states), not on elements")
        return self._make(
            op,
            args,
            min(x.level for x in args),
            late=any(x.late for x in args),
            stage=max(x.stage for x in args),
            is_bool=op in COMPARISONS or (op == "where" and args[1].is_bool),
        )

    def _alike(self, a: Node, b: Node) -> tuple[Node, Node]:
        """The two arms of a `where`: both truth values or both numbers."""
        return (a, b) if a.is_bool == b.is_bool else (self._as_number(a), self._as_number(b))

    def _as_number(self, x: Node) -> Node:
        """A truth value in arithmetic counts as 1 or 0."""
        return self.apply("where", x, 1.0, 0.0) if x.is_bool else x

    def _make(self, op: str, args: tuple[Any, ...], level: Level, *, late: bool, stage: int, is_bool: bool) -> Node:
        key = (op, *(("node", a.id) if isinstance(a, Node) else ("value", repr(a)) for a in args))
        node = self._made.get(key)
        if node is None:
            node = self._node_type(
                self, op, args, level, late=late, stage=stage, is_bool=is_bool, number=len(self._made)
            )
            self._made[key] = node
        return node

    def _simplify(self, op: str, args: tuple[Node, ...]) -> Node | None:
        x, y = args[0], args[-1]
        if op == "mul":
            return self._simplify_mul(x, y)
        if op == "add":
            if x.is_const(0.0):
                return y
            return x if y.is_const(0.0) else None
        if op == "sub":
            return self._simplify_sub(x, y)
        if op == "div":
            return self._simplify_div(x, y)
        if op == "pow" and y.is_const(2.0):
            return self.apply("mul", x, x)
        if op == "where" and x.op == "const":
            return args[1] if x.args[0] else args[2]
        if op == "lerp":
            return self._simplify_lerp(*args)
        return None

    def _simplify_lerp(self, a: Node, b: Node, weight: Node) -> Node | None:
        if weight.is_const(0.0):
            return a
        levels = {a.level == Level.ELEMENT, b.level == Level.ELEMENT, weight.level > Level.ELEMENT}
        if levels == {True} or min(a.level, b.level, weight.level) > Level.ELEMENT:
            return None  # the form that backends have an operation for, or all on the host
        return self.apply("add", a, self.apply("mul", self.apply("sub", b, a), weight))

    def _simplify_mul(self, x: Node, y: Node) -> Node | None:
        if x.is_const(0.0) or y.is_const(0.0):
            return self.const(0.0)
        if x.is_const(1.0):
            return y
        if y.is_const(1.0):
            return x
        if x.level > Level.ELEMENT and y.level == Level.ELEMENT:
            return self.apply("mul", y, x)  # the uniform factor stands on the right
        if x.level > Level.ELEMENT:
            return None
        inner, factor = _split(x)
        if y.level > Level.ELEMENT:
            return self.apply("mul", inner, self.apply("mul", factor, y)) if factor is not None else None
        other, second = _split(y)
        if (factor is None) == (second is None):
            return None  # with a factor on either side, their product could overflow where the elements' does not
        uniform = factor if factor is not None else second
        return self.apply("mul", self.apply("mul", inner, other), uniform)

    def _simplify_sub(self, x: Node, y: Node) -> Node | None:
        if y.is_const(0.0):
            return x
        if y.op == "sub" and y.args[0] is x:  # p - (p - step) is the step
            return y.nodes[1]
        inner, factor = _split(y)
        if y.level == Level.ELEMENT and factor is not None:  # x - y*u is x + y*(-u): an exact change of sign
            return self.apply("add", x, self.apply("mul", inner, self.apply("neg", factor)))
        return None

    def _simplify_div(self, x: Node, y: Node) -> Node | None:
        if y.is_const(1.0):
            return x
        if min(x.level, y.level) > Level.ELEMENT:
            return None
        if y.level > Level.ELEMENT:
            return self.apply("mul", x, self.apply("div", 1.0, y))
        if x.level > Level.ELEMENT:
            return None
        inner, factor = _split(x)
        divisor, second = _split(y)
        if factor is None and second is None:
            return None
        quotient = self.apply("div", inner, divisor)
        if factor is not None:
            quotient = self.apply("mul", quotient, factor)
        return quotient if second is None else self.apply("div", quotient, second)


def _truth(x: Node, taker: str) -> Node:
    if not x.is_bool:
        raise RuleError(f"{taker} take truth values, not numbers; compare first, as in (x > 0) & (y != 0)")
    return x


def _split(x: Node) -> tuple[Node, Node | None]:
    """x as (element part, uniform factor or None)."""
    if x.level == Level.ELEMENT and x.op == "mul" and x.nodes[1].level > Level.ELEMENT:
        return x.nodes[0], x.nodes[1]
    return x, None
