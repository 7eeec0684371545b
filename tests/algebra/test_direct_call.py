"""A rule called with tensors is its own reference: its graph gives the same numbers.

1e-12: both compute in float64; the graph gathers factors and divides by multiplying, which changes the last place, and
sums of terms of either sign lose a few digits of that.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from algebra.running import interpret, started, tensors
from algebra.table import CASES, Case
from zerograd import rules
from zerograd.algebra import Graph, mean, norm, total, where


@pytest.mark.parametrize("case", [case for case in CASES if case.rule.inner is None], ids=str)
def test_the_graph_gives_what_the_function_gives(case: Case) -> None:
    rule, hypers = case.rule, case.hypers
    values = {"lr": 0.05, **rule.hypers, **hypers}
    graph = Graph(rule, values)
    p, *grads = tensors(9, 3, 4)
    states: dict[str, Any] = {}
    for t, g in enumerate(grads, start=1):
        if t == 1:
            states = started(rule, graph, p, g, values)
        given: dict[str, Any] = {"g": g, "p": p, **{name: torch.zeros_like(p) for name in rule.states}, **states}
        supplied = {"t": t, "first": t == 1, "lr": values["lr"]}
        returned = rule(
            *(given[name] for name in rule.own.arguments), **hypers, **{n: supplied[n] for n in rule.own.supplied}
        )
        result, *new = returned if isinstance(returned, tuple) else (returned, *(given[n] for n in rule.states))
        wanted = dict(zip(rule.states, new, strict=True))
        wanted_p = result if rule.moves else p - values["lr"] * result

        p, states = interpret(graph, p, g, states, values, t, first=t == 1)
        torch.testing.assert_close(p, wanted_p, rtol=1e-12, atol=1e-14)
        for state, value in states.items():
            torch.testing.assert_close(
                torch.as_tensor(value).double(), torch.as_tensor(wanted[state]).double(), rtol=1e-12, atol=1e-14
            )


def test_numbers_in_a_direct_call_divide_as_ieee_says() -> None:
    """RAdam takes the root of a negative number and schedule-free divides 0 by 0 in the arm that is not taken."""
    g, zero = torch.ones(3), torch.zeros(3)
    direction, *_ = rules.radam(g, zero, zero, betas=(0.9, 0.6), t=3)
    assert torch.isfinite(direction).all()
    new, *_ = rules.schedule_free_adamw(g, zero, zero, zero, 0, 0.0, 0.0, lr=0.0)
    assert torch.isfinite(new).all()


def test_a_wrapped_rule_is_called_by_its_parts() -> None:
    with pytest.raises(TypeError, match=r"decoupled\(adam\) is made of several functions; call adam itself"):
        rules.decoupled(rules.adam)(torch.ones(3))


def test_reductions_and_choices_take_tensors_of_truth_values() -> None:
    g = torch.tensor([1.0, -2.0, 3.0, 4.0])
    assert mean(g > 0) == 0.75
    assert total(g > 0) == 3
    assert norm(g > 0) == 3**0.5
    assert where(g > 0, g, 0).tolist() == [1.0, 0.0, 3.0, 4.0]
    assert where(True, g, 0) is g
