"""What makes a new graph: static flags and the truth of what an `if` tested. A number never does."""

# ruff: noqa: ARG001  # rules: the signature says what there is

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from zerograd import RuleError, from_rule, rules
from zerograd.algebra import Graph, rule, where
from zerograd.algebra.tracing import Tracer
from zerograd.engine.programs import Programs

LR = {"lr": 0.1}


def count(tracer: Tracer, hypers: dict[str, Any], *settings: dict[str, Any]) -> int:
    for setting in settings:
        tracer.graph({**LR, **hypers, **setting})
    return tracer.traced


@rule
def numbers(g, m, *, momentum=0.0, betas=(0.9, 0.999), threshold=0.5, name="a", option=None, flag=False):
    u = g * betas[0]
    if momentum:
        u = m = momentum * m + g
    if threshold > betas[1]:
        u = -u
    if flag and name != "a":
        u = u + 1
    return (u if option is None else u * option), m


@pytest.mark.parametrize(
    ("settings", "graphs"),
    [
        pytest.param([{"momentum": x} for x in (0.9, 0.5, 1e-30, -2, 3)], 1, id="a number by its truth"),
        pytest.param([{"momentum": x} for x in (0.9, 0, 0.9, 0.0, -0.0)], 2, id="and back"),
        pytest.param([{"lr": x} for x in (0.0, 1, 1e9, -1.0)], 1, id="lr"),
        pytest.param([{"betas": x} for x in ((0.0, 0.6), [0.5, 0.9], (1, 0.7))], 1, id="numbers in tuples and lists"),
        pytest.param([{"threshold": x} for x in (0.1, 0.9, 0.999, 1.5, 2.0)], 2, id="a comparison by its truth"),
        pytest.param([{"flag": x} for x in (False, True, False)], 2, id="a flag"),
        pytest.param([{"name": x} for x in ("a", "b", "a", "c")], 3, id="a string"),
        pytest.param([{"option": x} for x in (None, 0.5, 0.25, None)], 2, id="None or a number"),
    ],
)  # fmt: skip
def test_a_graph_is_made_for_each(settings: list[dict[str, Any]], graphs: int) -> None:
    tracer = Tracer(numbers)
    assert count(tracer, numbers.hypers, *settings) == graphs
    assert count(tracer, numbers.hypers, *settings) == graphs, "the second round is served by what the first one made"


def test_what_is_static_is_so_inside_a_tuple_too() -> None:
    @rule
    def either(g, *, pair=(None, 0.9, False)):
        u = g * (pair[1] if pair[0] is None else pair[0])
        return -u if pair[2] else u

    tracer = Tracer(either)
    pairs = [(None, 0.9, False), (None, 0.5, False), (0.1, 0.9, False), (0.2, 0.8, False), (None, 0.9, True)]
    assert count(tracer, either.hypers, *({"pair": pair} for pair in pairs)) == 3


def test_a_zero_that_is_worth_a_graph_of_its_own_makes_one() -> None:
    plain, sparing = Tracer(rules.l2(rules.sgd)), Tracer(rules.l2(rules.sgd), frozenset({"weight_decay"}))
    settings = [{"weight_decay": x} for x in (0.1, 0.0, 0.2, 0.0)]
    assert count(plain, rules.l2(rules.sgd).hypers, *settings) == 1
    assert count(sparing, rules.l2(rules.sgd).hypers, *settings) == 2


def test_the_graph_that_is_found_fits_the_values_whatever_came_before() -> None:
    """Every combination of flags, in two orders: each time the graph that a fresh tracer would make."""
    grid = [
        dict(zip(("momentum", "threshold", "flag", "name", "option"), values, strict=True))
        for values in itertools.product((0.0, 0.9), (0.1, 2.0), (False, True), ("a", "b"), (None, 0.5))
    ]
    tracer = Tracer(numbers)
    for setting in [*grid, *reversed(grid)]:
        values = {**LR, **numbers.hypers, **setting}
        assert repr(tracer.graph(values)) == repr(Graph(numbers, values))


def test_a_tuple_of_another_length_is_another_graph() -> None:
    @rule
    def mixed(g, *, shares=(0.5, 0.5)):
        return sum(share * g for share in shares)

    tracer = Tracer(mixed)
    assert count(tracer, mixed.hypers, *({"shares": (0.5,) * length} for length in (1, 2, 3, 2, 1))) == 3


def test_a_program_is_printed_once() -> None:
    programs = Programs(rules.sgd)
    values = {**LR, **rules.sgd.hypers}
    first = programs.find(values)
    assert programs.find({**values, "lr": 7.0}) is first
    assert programs.find({**values, "momentum": 0.9}) is not first
    assert programs.find(values) is first


def test_a_long_schedule_prints_one_program() -> None:
    scheduled = from_rule(rules.decoupled(rules.adam), name="Scheduled", lr=0.1)
    p = torch.nn.Parameter(torch.ones(3))
    optimizer = scheduled([p], weight_decay=0.1)
    for step in range(20):
        optimizer.param_groups[0].update(lr=0.1 / (1 + step), betas=(0.9 - 0.01 * step, 0.999), eps=1e-8 * (1 + step))
        p.grad = torch.ones(3)
        optimizer.step()
    assert scheduled.class_programs.compiled == 1


@pytest.mark.parametrize(
    "condition", ["g > 0", "p == 0", "m", "t == 1", "first", "k > 1", "g * momentum", "(t > 1) & flag"]
)
def test_a_decision_on_anything_but_hyper_parameters_is_refused(condition: str) -> None:
    @rule
    def deciding(g, p, m, k=1.0, *, momentum=0.9, flag=True, t, first):
        return g if eval(condition) else -g

    with pytest.raises(RuleError, match=r"rule 'deciding', .*test_guards.py:\d+: `if`.* use where"):
        Graph(deciding, {**LR, **deciding.hypers})


def test_a_choice_between_numbers_is_the_hosts_and_makes_no_graph() -> None:
    @rule
    def warming(g, *, warmup=5.0, t):
        return g * where(t < warmup, t / warmup, 1)

    tracer = Tracer(warming)
    assert count(tracer, warming.hypers, *({"warmup": float(x)} for x in range(8))) == 1
