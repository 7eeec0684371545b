"""Rules on whole matrices: plain functions of tensors, which no graph is made of.

Some algorithms can't be said of one element: they multiply matrices, or keep a number for each row. Such a rule is
written with torch's own operations, on a *stack*: several parameters of one shape, with one dimension more in front.
Or on lists of them, where a stack is worth its copies for a part of the work only. What it does to one of the stack or
list must not depend on the others.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, overload

from zerograd.algebra.notation import Rule, RuleFunction
from zerograd.algebra.states import Part
from zerograd.algebra.tracing import Graph


class _MatrixFunction(RuleFunction):
    """The function of a matrix rule."""

    kind = "matrix rule"
    starts = (int, float, Part)
    supplies = ("t", "lr", "dtype")

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        if self.arguments[:2] != ("g", "p"):
            self.refuse("the gradient g and the parameter p come first: it changes p in place")
        if "lr" not in self.supplied:
            self.refuse("it makes the whole step, so it needs lr: write it after the *, without a default")


class MatrixRule(Rule):
    """A rule that changes whole parameters and states in place, in stacks or lists; see ``matrix_rule``."""

    elementwise = False

    def __init__(self, own: RuleFunction, lists: bool = False) -> None:
        super().__init__(own)
        self.function, self.lists = own.function, lists

    def apply(self, *_: Any) -> NoReturn:
        self.own.refuse("a rule on whole matrices has no graph")

    def __call__(self, g: Any, *arguments: Any, **keywords: Any) -> Any:
        """The rule on what it takes, stacks or lists: p and the states are changed in place."""
        return self.own.function(g, *arguments, **{**self.hypers, **keywords})

    def __reduce__(self) -> Any:
        plain = self.own.function
        found = getattr(sys.modules.get(plain.__module__), plain.__qualname__, None)
        return (_made, (plain, self.lists)) if found is plain else self.own.__reduce__()

    def __repr__(self) -> str:
        return f"<matrix rule {self.name}>"


class MatrixGraph(Graph):
    """What an engine asks of a graph, for a rule that has none: its states, and whether it reads the step."""

    def __init__(self, rule: MatrixRule) -> None:
        self.rule = rule
        self.states, self.nodes = dict(rule.states), []
        self.new, self.old = {}, {}

    @property
    def reads_t(self) -> bool:  # there are no nodes to look through
        return "t" in self.rule.own.supplied

    def fits(self, values: Mapping[str, Any]) -> bool:  # noqa: ARG002  # one graph for all of them
        return True

    def __repr__(self) -> str:
        return f"graph of {self.rule.name}: none, it is a rule on whole matrices"


@overload
def matrix_rule(function: Callable[..., Any], /) -> MatrixRule: ...
@overload
def matrix_rule(*, lists: bool) -> Callable[[Callable[..., Any]], MatrixRule]: ...
def matrix_rule(function: Callable[..., Any] | None = None, /, *, lists: bool = False) -> Any:
    """Decorator: a plain function on stacks of whole parameters becomes an update rule.

    It is called as ``function(g, p, *states, lr=..., hyper-parameters)`` with stacks of tensors of one shape: (k, rows,
    columns) for k matrices. It changes p and the states in place, not g, and returns nothing. Everything is in the
    dtype of the computation; ``dtype``, if it asks for it, is that of the stored parameters, and ``t`` their step. A
    state starts as a number in the shape of the parameter, or as a ``part(...)``; one that a parameter of this shape
    does not have comes as None.

    With ``@matrix_rule(lists=True)`` it is handed lists instead of stacks, of k tensors of any shapes.

    >>> @matrix_rule
    ... def unit_columns(g, p, *, lr, eps=1e-12):
    ...     p.sub_(g / (g.norm(dim=-2, keepdim=True) + eps), alpha=lr)
    >>> unit_columns.hypers
    {'eps': 1e-12}
    """
    return functools.partial(_made, lists=lists) if function is None else _made(function, lists)


def _made(function: Callable[..., Any], lists: bool) -> MatrixRule:
    """The rule; pickle calls it too."""
    return MatrixRule(_MatrixFunction(function), lists)
