"""Symbols: what a rule is traced with. They build the graph, and refuse in words what can't be in one."""

from __future__ import annotations

from typing import Any, NoReturn

from zerograd.algebra.arithmetic import HOST
from zerograd.algebra.graph import VERBS, Builder, Node, ancestors
from zerograd.errors import RuleError

_DECIDES = (
    "`if`, `while`, `and`, `or`, `not`, min() and max() may decide on hyper-parameters only; "
    "on elements, t, first or state use where(condition, a, b), &, |, minimum, maximum or clamp"
)


class SymbolAttributeError(RuleError, AttributeError):
    """A method or attribute was asked of a symbol; hasattr() must be able to see that it has none."""


class Symbol(Node):
    """A node that a rule computes with: arithmetic and comparisons make new nodes, all else is refused."""

    __slots__ = ()
    __hash__ = Node.__hash__

    def __bool__(self) -> bool:
        builder = self.builder
        if not isinstance(builder, SymbolBuilder):
            raise RuleError(_DECIDES)
        return builder.decide(self)

    def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> NoReturn:
        raise RuleError(f"numpy.{ufunc.__name__} can't be traced; use {_verb_for(ufunc.__name__)}")

    def __array_function__(self, function: Any, *_: Any) -> NoReturn:
        raise RuleError(f"numpy.{function.__name__} can't be traced; use {_verb_for(function.__name__)}")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise RuleError("a value in a rule stands for one element; it can't become an array")

    @classmethod
    def __torch_function__(cls, function: Any, *_: Any, **__: Any) -> NoReturn:
        name = getattr(function, "__name__", str(function))
        raise RuleError(f"torch.{name} can't be traced; use {_verb_for(name)}")

    def __getattr__(self, name: str) -> NoReturn:
        raise SymbolAttributeError(f".{name} can't be traced: a value in a rule has no methods; use {_verb_for(name)}")

    def __float__(self) -> NoReturn:
        raise RuleError(f"float() and the functions of math need a number now; use {VERBS}")

    __int__ = __index__ = __round__ = __trunc__ = __floor__ = __ceil__ = __float__

    def __len__(self) -> NoReturn:
        raise RuleError("a value in a rule stands for one element; it has no length, items or slices")

    def __getitem__(self, _: object) -> NoReturn:
        self.__len__()

    def __setitem__(self, _: object, __: object) -> NoReturn:
        self.__len__()

    def __iter__(self) -> NoReturn:
        self.__len__()

    def __contains__(self, _: object) -> NoReturn:
        self.__len__()

    def __invert__(self) -> NoReturn:
        raise RuleError("~ is not in the language; swap the arms of where(condition, a, b)")

    def __matmul__(self, _: object) -> NoReturn:
        raise RuleError("@ is not in the language: a rule sees one element, not a matrix")

    def __floordiv__(self, _: object) -> NoReturn:
        raise RuleError("// is not in the language; % works on host scalars")

    def __pos__(self) -> Node:
        return self

    __rmatmul__ = __matmul__
    __rfloordiv__ = __floordiv__
    __divmod__ = __rdivmod__ = __floordiv__


def _binary(op: str, *, reflected: bool) -> Any:
    def method(self: Symbol, other: Any) -> Node:
        return self.builder.apply(op, other, self) if reflected else self.builder.apply(op, self, other)

    method.__qualname__ = f"Symbol.{op}"
    return method


for _name, _op in (
    ("add", "add"),
    ("sub", "sub"),
    ("mul", "mul"),
    ("truediv", "div"),
    ("pow", "pow"),
    ("mod", "mod"),
    ("and", "and"),
    ("or", "or"),
):
    setattr(Symbol, f"__{_name}__", _binary(_op, reflected=False))
    setattr(Symbol, f"__r{_name}__", _binary(_op, reflected=True))
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(Symbol, f"__{_name}__", _binary(_name, reflected=False))
for _name in ("neg", "abs"):
    setattr(Symbol, f"__{_name}__", lambda self, op=_name: self.builder.apply(op, self))

_SPELT_OTHERWISE = {
    "clip": "clamp(x, low, high)",
    "fmax": "maximum(a, b)",
    "max": "maximum(a, b)",
    "fmin": "minimum(a, b)",
    "min": "minimum(a, b)",
    "absolute": "abs(x)",
    "fabs": "abs(x)",
    "square": "x * x",
    "rsqrt": "1 / sqrt(x)",
    "reciprocal": "1 / x",
    "sum": "total(x)",
    "pow": "x ** y",
    "power": "x ** y",
    "addcmul": "a + b * c",
    "addcdiv": "a + b / c",
}


def _verb_for(name: str) -> str:
    name = name.rstrip("_")
    words = VERBS.replace(",", "").split()
    return f"{name}() of zerograd.algebra" if name in words else _SPELT_OTHERWISE.get(name, VERBS)


class SymbolBuilder(Builder):
    """A builder of symbols that answers `if` on hyper-parameters and remembers what it answered.

    values: the hyper-parameters while tracing. guards: (condition, its truth), which must hold for the graph to fit.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(Symbol)
        self.values = values
        self.guards: dict[int, tuple[Node, bool]] = {}

    def decide(self, node: Node) -> bool:
        leaves = {n.op for n in ancestors([node]) if not n.nodes}
        if not leaves <= {"hyper", "const"}:
            raise RuleError(_DECIDES)
        truth = bool(host_value(node, self.values))
        self.guards[node.id] = (node, truth)
        return truth


def host_value(node: Node, values: dict[str, Any]) -> Any:
    """The value of a node that hangs on hyper-parameters only."""
    if node.op == "const":
        return node.args[0]
    if node.op == "hyper":
        name, index = node.args
        return float(values[name] if index is None else values[name][index])
    return HOST[node.op](*(host_value(a, values) for a in node.nodes))
