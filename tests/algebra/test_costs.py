"""What a step costs, read off the graph: a rule in this notation is as cheap as one that was written out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from zerograd import rules
from zerograd.algebra import Graph, Rule
from zerograd.algebra.graph import Level
from zerograd.rules import decoupled, l2

ZEROS = frozenset({"weight_decay"})


@dataclass(frozen=True)
class Cost:
    """states: tensors. scalars: one number per tensor, group or all. host: numbers handed to the kernel. operations:
    on elements. reductions, passes: over all elements."""

    rule: Rule
    states: str
    scalars: str
    host: int
    operations: int
    reductions: int = 0
    passes: int = 1
    hypers: tuple[tuple[str, Any], ...] = ()


MOMENTS = "exp_avg exp_avg_sq"
TABLE = [
    Cost(rules.sgd, "", "", 1, 2),
    Cost(l2(rules.sgd), "momentum_buffer", "", 4, 7, hypers=(("momentum", 0.9), ("weight_decay", 0.1))),
    Cost(decoupled(rules.adam), MOMENTS, "", 9, 15, hypers=(("weight_decay", 0.1),)),
    Cost(
        decoupled(rules.adam), f"{MOMENTS} max_exp_avg_sq", "", 9, 16, hypers=(("amsgrad", True), ("weight_decay", 0.1))
    ),
    Cost(l2(rules.nadam), MOMENTS, "mu_product", 10, 18, hypers=(("weight_decay", 0.1),)),
    Cost(l2(rules.radam), MOMENTS, "", 9, 16, hypers=(("weight_decay", 0.1),)),
    Cost(l2(rules.asgd), "ax", "eta mu", 4, 8, hypers=(("weight_decay", 0.1),)),
    Cost(l2(rules.adagrad), "sum", "", 3, 9, hypers=(("weight_decay", 0.1),)),
    Cost(l2(rules.adamax), "exp_avg exp_inf", "", 6, 13, hypers=(("weight_decay", 0.1),)),
    Cost(l2(rules.adadelta), "square_avg acc_delta", "", 5, 18, hypers=(("weight_decay", 0.1),)),
    Cost(rules.rprop, "prev step_size", "", 4, 12),
    Cost(l2(rules.rmsprop), "square_avg", "", 5, 11, hypers=(("weight_decay", 0.1),)),
    Cost(
        l2(rules.rmsprop), "square_avg momentum_buffer grad_avg", "", 6, 18,
        hypers=(("momentum", 0.9), ("centered", True), ("weight_decay", 0.1)),
    ),
    Cost(decoupled(rules.lion), "exp_avg", "", 4, 9, hypers=(("weight_decay", 0.1),)),
    Cost(l2(rules.adopt), MOMENTS, "", 9, 16, hypers=(("weight_decay", 0.1),)),
    Cost(rules.schedule_free_adamw, "z exp_avg_sq", "k lr_max weight_sum", 8, 17),
    Cost(rules.lamb, MOMENTS, "", 8, 16, reductions=2, passes=2),
    Cost(rules.stable_adamw, MOMENTS, "", 7, 16, reductions=1, passes=2),
    Cost(rules.prodigy, f"{MOMENTS} s p0", "k d d_max d_numerator", 10, 20, reductions=2, passes=2),
    Cost(decoupled(rules.cautious(rules.adam)), MOMENTS, "", 8, 19, reductions=1, passes=2),
    Cost(rules.ema(decoupled(rules.adam)), f"{MOMENTS} average", "", 10, 18, hypers=(("weight_decay", 0.1),)),
    Cost(rules.cautious_decay(rules.adam), MOMENTS, "", 9, 19, hypers=(("weight_decay", 0.1),)),
    Cost(rules.lookahead(rules.adam), f"{MOMENTS} slow", "", 10, 19),
    Cost(rules.mars(rules.adam), f"{MOMENTS} previous_grad", "", 9, 17, reductions=1, passes=2),
]  # fmt: skip


def traced(cost: Cost) -> Graph:
    return Graph(cost.rule, {"lr": 0.1, **cost.rule.hypers, **dict(cost.hypers)}, ZEROS)


def label(cost: Cost) -> str:
    return "-".join([cost.rule.name, *(name for name, _ in cost.hypers if name != "weight_decay")])


@pytest.mark.parametrize("cost", TABLE, ids=label)
def test_the_states_that_exist_are_those_that_the_flags_ask_for(cost: Cost) -> None:
    graph = traced(cost)
    assert sorted(graph.tensor_states) == sorted(cost.states.split())
    assert sorted(graph.scalar_states) == sorted(cost.scalars.split())


@pytest.mark.parametrize("cost", TABLE, ids=label)
def test_a_step_costs_no_more_than_its_rule_asks_for(cost: Cost) -> None:
    graph = traced(cost)
    operations = [n for n in graph.nodes if n.level == Level.ELEMENT and n.nodes]
    assert len(operations) <= cost.operations, graph
    handed = {a.id for n in graph.nodes if not n.on_host for a in n.nodes if a.on_host and a.op != "const"}
    assert len(handed) <= cost.host, graph
    assert len(graph.reductions) == cost.reductions
    assert max(n.stage for n in graph.nodes) + 1 == cost.passes
