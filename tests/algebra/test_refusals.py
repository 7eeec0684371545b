"""What the language does not have is refused with the rule's name, its file and line, and what to write instead."""

from __future__ import annotations

import functools
import linecache
import math
import re
from typing import Any

import numpy as np
import pytest
import torch

from zerograd import RuleError, algebra
from zerograd.algebra import Graph, rule, wrapper

FILE = "refused_rule.py"
SCOPE = {**{name: getattr(algebra, name) for name in algebra.__all__}, "math": math, "np": np, "torch": torch}

VERBS = "sqrt exp log tanh abs sign where"
DECIDE = r"where\(condition, a, b\)"

EXPRESSIONS = {
    "g if g > 0 else p": DECIDE,
    "g if m else p": DECIDE,
    "g if t == 1 else p": DECIDE,
    "g if not first else p": DECIDE,
    "min(g, p)": "minimum",
    "max(g, 0)": "maximum",
    "g and p": "&",
    "g or p": "&",
    "not g": "where",
    "where(0 < g < 1, g, 0)": "&",
    "sorted([g, p])[0]": "where",
    "~(g > 0)": "swap the arms of where",
    "g @ p": "one element, not a matrix",
    "p @ 2.0": "one element, not a matrix",
    "2.0 @ g": "one element, not a matrix",
    "g // 2": "% works on host scalars",
    "divmod(g, 2)": "% works on host scalars",
    "g % 2": "% works on host scalars",
    "g >> 1": VERBS,
    "g ^ 1": VERBS,
    "pow(g, 2, 3)": VERBS,
    "g[0]": "no length, items or slices",
    "g[:2]": "no length, items or slices",
    "len(g)": "no length, items or slices",
    "sum(x for x in g)": "no length, items or slices",
    "1 in g": "no length, items or slices",
    "float(g)": VERBS,
    "int(t)": VERBS,
    "round(g)": VERBS,
    "round(g, 2)": VERBS,
    "complex(g)": VERBS,
    "math.sqrt(g)": VERBS,
    "math.exp(t)": VERBS,
    "[1.0, 2.0][t]": VERBS,
    "np.sqrt(g)": r"use sqrt\(\) of zerograd.algebra",
    "np.maximum(g, 0)": r"use maximum\(\) of zerograd.algebra",
    "np.clip(g, -1, 1)": r"clamp\(x, low, high\)",
    "np.where(g > 0, g, 0)": r"use where\(\) of zerograd.algebra",
    "np.array(g)": "stands for one element",
    "np.float64(2.0) * g": "numpy.multiply can't be traced",
    "torch.sqrt(g)": r"use sqrt\(\) of zerograd.algebra",
    "torch.where(g > 0, g, p)": r"use where\(\) of zerograd.algebra",
    "torch.clip(g, -1, 1)": r"clamp\(x, low, high\)",
    "torch.sum(g)": r"use total\(x\)",
    "torch.zeros_like(g)": VERBS,
    "torch.ones(3) * g": r"tensor\(\[1., 1., 1.\]\) is no number",
    "g.sqrt()": r"use sqrt\(\) of zerograd.algebra",
    "g.clamp_(-1, 1)": r"use clamp\(\) of zerograd.algebra",
    "g.square()": r"use x \* x",
    "g.sum()": r"use total\(x\)",
    "g.item()": VERBS,
    "g.shape": VERBS,
    "where(g, p, 0)": r"where\(condition, a, b\) take truth values",
    "where(momentum, p, 0)": r"where\(condition, a, b\) take truth values",
    "where((g > 0) & p, 1, 0)": "& and | take truth values",
    "norm(norm(g))": "reduces the elements of tensors",
    "total(t)": "reduces the elements of tensors",
    "mean(2.0)": "reduces the elements of tensors",
    "norm(g, per='row')": "per is 'tensor', 'group' or 'all'",
    "g + None": "None is no number",
    "g == 'name'": "'name' is no number",
    "g * 1j": "1j is no number",
    "g * np.float32(2)": r"np.float32\(2.0\) is no number",
    "g * torch.tensor(2.0)": r"tensor\(2.\) is no number",
    "None": "None is no number",
    "'up'": "'up' is no number",
    "[g, m]": "is no number",
    "{'u': g}": "is no number",
    "torch.zeros(3)": "is no number",
    "(g, m, m)": "it returns 3 values; it has 2 to return: the direction, m",
    "()": "it returns 0 values; it has 2 to return: the direction, m",
    "(g, 'm')": "'m' is no number",
}


def source(text: str) -> str:
    """A rule whose third line is the expression."""
    return f"def refused(g, p, m=1.0, *, momentum=0.9, t, first):\n    u = g * momentum\n    return {text}\n"


def compiled(text: str, name: str = "refused") -> Any:
    scope = dict(SCOPE)
    linecache.cache[FILE] = (len(text), None, text.splitlines(keepends=True), FILE)
    exec(compile(text, FILE, "exec"), scope)
    return scope[name]


def trace(made: Any) -> Graph:
    return Graph(made, {"lr": 0.1, **made.hypers})


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_a_construct_is_refused_with_its_place_and_the_cure(text: str) -> None:
    made = rule(compiled(source(text)))
    with pytest.raises(RuleError) as caught:
        trace(made)
    message = str(caught.value)
    assert re.match(rf"rule 'refused', {FILE}:\d+: ", message), message
    assert re.search(EXPRESSIONS[text], message), message


LATER = {
    text for text in EXPRESSIONS if text.startswith(("None", "'up'", "[g, m]", "{", "torch.zeros(3)", "(g, ", "()"))
}


@pytest.mark.parametrize("text", sorted(EXPRESSIONS.keys() - LATER))
def test_the_line_is_the_one_that_was_written(text: str) -> None:
    """A wrong return value is only found after the last line; there the rule's first line is named."""
    with pytest.raises(RuleError, match=f"^rule 'refused', {FILE}:3: "):
        trace(rule(compiled(source(text))))


def test_an_attribute_is_not_stored_on_a_value() -> None:
    text = "def refused(g):\n    g.grad = 1\n    return g\n"
    with pytest.raises(RuleError, match=f"rule 'refused', {FILE}:2: 'Symbol' object has no attribute 'grad'"):
        trace(rule(compiled(text)))


def test_a_refusal_in_a_helper_names_the_line_in_the_rule_file_that_is_nearest() -> None:
    text = "def helper(x):\n    return x.sqrt()\n\ndef refused(g):\n    return helper(g)\n"
    with pytest.raises(RuleError, match=f"rule 'refused', {FILE}:2: .sqrt can't be traced"):
        trace(rule(compiled(text)))


def test_what_is_no_refusal_of_the_language_goes_through() -> None:
    @rule
    def broken(g):
        return g * undefined_name  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(NameError, match="undefined_name"):
        trace(broken)

    @rule
    def mistaken(g):
        return g * len(3)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="object of type 'int' has no len"):
        trace(mistaken)


def test_symbols_can_be_asked_what_they_have() -> None:
    @rule
    def asking(g):
        return g if hasattr(g, "sqrt") or getattr(g, "device", None) is not None or callable(g) else g * 2

    assert repr(trace(asking)) == repr(trace(rule(compiled("def asking(g): return g * 2", "asking"))))


def test_a_value_of_another_trace_is_refused() -> None:
    kept = []

    @rule
    def hoarding(g):
        kept.append(g)
        return kept[0] * g

    trace(hoarding)
    with pytest.raises(RuleError, match=r"rule 'hoarding', .*a rule may not keep values between calls"):
        trace(hoarding)


SIGNATURES = {
    "def refused(x): return x": "the gradient g comes first",
    "def refused(): return 0": "the gradient g comes first",
    "def refused(p, g): return g": "the gradient g comes first",
    "def refused(g, *states): return g": r"\*args, \*\*kwargs and positional-only arguments have no meaning",
    "def refused(g, **hypers): return g": r"\*args, \*\*kwargs and positional-only arguments have no meaning",
    "def refused(g, /): return g": r"\*args, \*\*kwargs and positional-only arguments have no meaning",
    "def refused(g, m=True): return g, m": r"state m starts as True: use a number, start\(...\) or scalar\(...\)",
    "def refused(g, m='p'): return g, m": r"state m starts as 'p'",
    "def refused(g, m=None): return g, m": r"state m starts as None",
    "def refused(g, m=start('q')): return g, m": "state m starts as 'q', which is none of p, g, lr",
    "def refused(g, m=scalar('q'), *, a=1.0): return g, m": "state m starts as 'q', which is none of lr, a",
    "def refused(g, m=scalar('p')): return g, m": "state m starts as 'p', which is none of lr",
    "def refused(g, *, foo): return g": "foo has no default, and is not supplied: give it one, or use t, first, lr",
    "def refused(g, t): return g, t": r"t is supplied by the engine: write it after the \*, without a default",
    "def refused(g, *, lr=0.1): return g": r"lr is supplied by the engine: write it after the \*, without a default",
    "def refused(g, *, first=True): return g": r"first is supplied by the engine",
}


@pytest.mark.parametrize("text", SIGNATURES)
def test_a_signature_is_refused_when_the_rule_is_defined(text: str) -> None:
    with pytest.raises(RuleError, match=rf"^rule 'refused', {FILE}:1: .*{SIGNATURES[text]}"):
        rule(compiled(text))


def test_a_scalar_per_something_else_is_refused() -> None:
    with pytest.raises(RuleError, match=r"scalar\(..., per='row'\): per is 'tensor', 'group' or 'all'"):
        algebra.scalar(0.0, per="row")


@pytest.mark.parametrize(
    "thing", [5, "adam", print, object(), functools.partial(trace)], ids=lambda thing: type(thing).__name__
)
def test_what_is_no_plain_function_is_no_rule(thing: Any) -> None:
    with pytest.raises(RuleError, match="is no plain function; a rule is written with def or lambda"):
        rule(thing)


WRAPPERS = {
    "def wrapping(move, g): return g": "it never calls the wrapped rule refused",
    "def wrapping(direction, g): return direction(g) + direction(g)": "calls the wrapped rule twice",
    "def wrapping(direction, g): return direction(g).abs()": r"use abs\(\) of zerograd.algebra",
    "def wrapping(direction, g): return direction(g), g": "it returns 2 values; it has 1 to return: the direction",
    "def wrapping(move, g, s): return move(g), s, s": "it returns 3 values; it has 2 to return: the new parameter, s",
    "def wrapping(direction, g): return 'u'": "it never calls the wrapped rule",
    "def wrapping(direction, g):\n    direction(g)\n    return 'u'": "'u' is no number",
}


@pytest.mark.parametrize("text", WRAPPERS)
def test_a_wrapper_is_refused_by_its_own_name(text: str) -> None:
    inner = rule(compiled("def refused(g): return g"))
    with pytest.raises(RuleError, match=rf"^wrapper 'wrapping', {FILE}:\d+: .*{WRAPPERS[text]}"):
        trace(wrapper(compiled(text, "wrapping"))(inner))


def test_a_refusal_inside_the_wrapped_rule_is_the_wrapped_rules() -> None:
    inner = rule(compiled("def refused(g): return g.abs()"))
    outer = wrapper(compiled("def wrapping(direction, g): return direction(g)", "wrapping"))
    with pytest.raises(RuleError, match=f"^rule 'refused', {FILE}:1: .abs can't be traced"):
        trace(outer(inner))


WRAPPER_SIGNATURES = {
    "def wrapping(g): return g": "the first argument is the wrapped rule, named by what it gives: direction or move",
    "def wrapping(inner, g): return inner(g)": "named by what it gives: direction or move",
    "def wrapping(move): return move()": "the gradient g comes first",
    "def wrapping(move, g, m): return move(g), m": "it and the wrapped inside both define m",
    "def wrapping(move, g, *, a=1.0): return move(g)": "it and the wrapped inside both define a",
    "def wrapping(move, g, a): return move(g), a": "it and the wrapped inside both define a",
    "def wrapping(move, g, *, m=1.0): return move(g)": "it and the wrapped inside both define m",
    "def wrapping(move, g, *, foo): return move(g)": "foo has no default, and is not supplied: .* t, first, lr, a",
    "def wrapping(direction, g, *, lr): return direction(g)": "inside owns lr and gives no direction",
}


@pytest.mark.parametrize("text", WRAPPER_SIGNATURES)
def test_a_wrapper_that_does_not_fit_is_refused_when_it_wraps(text: str) -> None:
    inner = rule(compiled("def inside(g, p, m, *, lr, a=2.0): return p - lr * g * a, m", "inside"))
    with pytest.raises(RuleError, match=rf"^wrapper 'wrapping', {FILE}:1: .*{WRAPPER_SIGNATURES[text]}"):
        wrapper(compiled(text, "wrapping"))(inner)


def test_a_default_for_a_hyper_parameter_that_nobody_has_is_refused() -> None:
    inner = rule(compiled("def inside(g, *, a=2.0): return g * a", "inside"))
    outer = wrapper(compiled("def wrapping(direction, g, *, b=1.0): return direction(g) * b", "wrapping"))
    assert outer(inner, a=3.0, b=4.0).hypers == {"a": 3.0, "b": 4.0}
    with pytest.raises(RuleError, match=r"wrapper 'wrapping', .*c is no hyper-parameter of wrapping\(inside\)"):
        outer(inner, c=1.0)
