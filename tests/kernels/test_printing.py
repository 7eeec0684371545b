"""The printed functions: what they call, and what the printer must not get wrong."""

# ruff: noqa: ARG001, B008  # rules: the signature says what there is, and how state starts

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from zerograd import algebra, from_rule, rules
from zerograd.algebra import Graph, norm, rule, scalar, where
from zerograd.kernels.eager.foreach import Foreach
from zerograd.kernels.prelude import Prelude


def printed(made: Any, **hypers: Any) -> str:
    graph = Graph(made, {"lr": 0.1, **made.hypers, **hypers}, frozenset({"weight_decay"}))
    return Foreach(graph, Prelude(graph).nodes).source


@pytest.mark.parametrize(
    ("made", "hypers", "calls"),
    [
        (rules.sgd, {}, 1),
        (rules.l2(rules.sgd), {"momentum": 0.9}, 3),
        (rules.decoupled(rules.adam), {"weight_decay": 0.1}, 8),
        (rules.decoupled(rules.lion), {"weight_decay": 0.1}, 5),
    ],
    ids=["sgd", "sgd-momentum", "adamw", "lion"],
)
def test_a_step_takes_no_more_calls_than_one_written_by_hand(made: Any, hypers: dict[str, Any], calls: int) -> None:
    source = printed(made, **hypers)
    assert source.count("torch._foreach_") <= calls, source
    assert " for " not in source, "no loop in Python"


def test_states_and_parameters_are_overwritten_in_place() -> None:
    p = torch.ones(3).requires_grad_()
    optimizer: Any = from_rule(rules.decoupled(rules.adam), lr=0.1)([p], weight_decay=0.1)
    places: set[int] = set()
    for _ in range(3):
        p.grad = torch.ones(3)
        before = p._version
        optimizer.step()
        assert p._version > before, "autograd sees it"
        places.add(hash((p.data_ptr(), *(x.data_ptr() for x in optimizer.state[p].values()))))
    assert len(places) == 1


def one_step(made: Any, *, p: list[float], g: list[float]) -> tuple[list[float], dict[str, Tensor]]:
    parameter = torch.tensor(p).requires_grad_()
    parameter.grad = torch.tensor(g)
    optimizer: Any = from_rule(made, name="Made", lr=1.0, keeps_step=False)([parameter])
    optimizer.step()
    return parameter.tolist(), optimizer.state[parameter]


SWAPS: list[tuple[str, str, dict[str, list[float]]]] = [
    ("a=1.0, b=2.0", "p, b, a", {"p": [3], "a": [2], "b": [1]}),
    ("a=1.0, b=2.0, c=4.0", "p, b, c, a", {"p": [3], "a": [2], "b": [4], "c": [1]}),
    ("a=1.0", "a, p", {"p": [1], "a": [3]}),
    ("a=1.0", "g, p", {"p": [5], "a": [3]}),
    ("a=1.0, b=2.0", "p, a + 1, a + 1", {"p": [3], "a": [2], "b": [2]}),
    ("a=1.0, b=2.0", "p + 1, p, p", {"p": [4], "a": [3], "b": [3]}),
    ("a=1.0", "p + g, p + g", {"p": [8], "a": [8]}),
    ("a=1.0, b=start('g')", "p, g, g * a", {"p": [3], "a": [5], "b": [5]}),
    ("a=1.0", "7.0, 8.0", {"p": [7], "a": [8]}),
    ("a=1.0", "t * 2, t + lr", {"p": [2], "a": [2]}),
    ("a=1.0", "norm(g), total(p) * 2", {"p": [5], "a": [6]}),
    ("a=1.0", "g > 4, p > g", {"p": [1], "a": [0]}),
    ("a=1.0", "t == 1, t > 1", {"p": [1], "a": [0]}),
    ("a=1.0", "p, a", {"p": [3]}),
]
"""From p = 3 and g = 5: the states of a rule that owns lr, what it returns, and what is stored then."""


def owner(states: str, returned: str) -> Any:
    return rule(eval(f"lambda g, p, {states}, *, lr, t: ({returned})", dict(vars(algebra))))


@pytest.mark.parametrize(
    ("states", "returned", "wanted"), SWAPS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_whatever_is_stored_is_what_the_rule_returned(
    states: str, returned: str, wanted: dict[str, list[float]]
) -> None:
    p, state = one_step(owner(states, returned), p=[3.0], g=[5.0])
    assert {"p": p, **{name: value.tolist() for name, value in state.items() if name != "step"}} == wanted


@pytest.mark.parametrize(
    "exponent", ["norm(g) * 0.2 + 1", "sign(g) + 1", "t + 1", "sign(g) + sign(norm(g))", "norm(g * t) * 0.2 + sign(g)"]
)
def test_a_negative_base_keeps_its_sign_inside_the_power(exponent: str) -> None:
    """-2.0 ** x, printed as it stands, is -(2.0 ** x)."""
    p, _ = one_step(owner("a", f"(-2.0) ** ({exponent}) * p"), p=[3.0], g=[5.0])
    assert p == [12.0]


def test_infinite_and_undefined_constants_can_be_printed() -> None:
    inf, nan = float("inf"), float("nan")

    @rule
    def bounded(g, p, k=scalar(inf), *, lr, t):
        return where(g < inf, where(g > -inf, p, nan), nan) + where(t < inf, 0, nan), where(norm(g) > 0, k, nan)

    p, state = one_step(bounded, p=[3.0], g=[5.0])
    assert p == [3.0]
    assert state["k"] == inf


@pytest.mark.parametrize(
    "returned", ["p + g * 1e39", "p + g * big", "p + 1e300 * (g * p)", "lerp(p, g * 1e30, 1e39)", "1e39 * norm(g) + p"]
)
def test_a_number_beyond_float32_is_infinite_in_float32_and_not_in_float64(returned: str) -> None:
    """A sentinel such as 1e300 must not stop a step half-way."""
    made = eval(f"lambda g, p, *, lr, big=1e39: {returned}", dict(vars(algebra)))
    for dtype, wanted in ((torch.float32, False), (torch.float64, True)):
        parameter = torch.tensor([3.0], dtype=dtype).requires_grad_()
        parameter.grad = torch.tensor([5.0], dtype=dtype)
        optimizer: Any = from_rule(made, name="Made", lr=0.1)([parameter])
        optimizer.step()
        assert parameter.isfinite().item() == wanted


def test_a_choice_of_the_host_between_late_and_plain_numbers() -> None:
    """At the first step the plain one, later the late one, also where they are divided."""

    @rule
    def choosing(g, p, k=scalar(0.0), *, lr, t):
        chosen = where(t == 1, 0.0, norm(g))
        return p + 1 / chosen, chosen

    parameter = torch.tensor([3.0]).requires_grad_()
    parameter.grad = torch.tensor([5.0])
    optimizer: Any = from_rule(choosing, lr=1.0)([parameter])
    optimizer.step()
    assert parameter.item() == float("inf")
    with torch.no_grad():
        parameter.fill_(3.0)
    optimizer.step()
    assert parameter.item() == pytest.approx(3.2)
    assert optimizer.state[parameter]["k"] == 5
