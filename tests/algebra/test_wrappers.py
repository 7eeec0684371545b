"""Wrappers nest: what is outside acts first on g and p and last on the result, and its name says what it gives."""

# ruff: noqa: ARG001, B008  # rules: the signature says what there is, and how state starts

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from algebra.running import tensors, walk
from zerograd import rules
from zerograd.algebra import Graph, Rule, rule, sign, start, where, wrapper
from zerograd.rules import adam, cautious, decoupled, ema, l2, lookahead, mars, sgd, trust_ratio

LR, DECAY = 0.1, 0.5


@rule
def owner(g, p, m, *, lr, push=1.0):
    """It owns lr: the new parameter depends on p itself, and on an m that it keeps."""
    m = m + g
    return p * 0.5 - lr * push * m, m


@wrapper
def twice(direction, g):
    return 2 * direction(g)


@wrapper
def plus_p(direction, g, p):
    return direction(g) + p


@wrapper
def shifted(move, g, p):
    return move(g, p + 1)


@wrapper
def doubled(move, g, p):
    return 2 * move(g, p)


@wrapper
def halved_gradient(direction, g):
    return direction(g / 2)


@wrapper
def keeps_p(move, g):
    return move(g)


@wrapper
def scaled_by_lr(direction, g, p, *, lr):
    return p - 3 * lr * direction(g)


P, G = tensors(2, 4)

LAWS: dict[str, tuple[Rule, Any]] = {
    "a direction is applied with lr": (twice(sgd), lambda p, g: p - LR * 2 * g),
    "the outer wrapper acts on what the inner one gives": (plus_p(twice(sgd)), lambda p, g: p - LR * (2 * g + p)),
    "and the other way round": (twice(plus_p(sgd)), lambda p, g: p - LR * 2 * (g + p)),
    "a move applies lr inside": (doubled(sgd), lambda p, g: 2 * (p - LR * g)),
    "a move may hand in another p": (shifted(sgd), lambda p, g: p + 1 - LR * g),
    "and the rule inside sees it": (shifted(plus_p(sgd)), lambda p, g: p + 1 - LR * (g + p + 1)),
    "the outer one does not": (plus_p(shifted(sgd)), lambda p, g: p - LR * ((p - (p + 1 - LR * g)) / LR + p)),
    "p may be left out": (keeps_p(shifted(sgd)), lambda p, g: p + 1 - LR * g),
    "a gradient is changed on the way in": (twice(halved_gradient(twice(sgd))), lambda p, g: p - LR * 2 * g),
    "a move round an owner is its own": (doubled(owner), lambda p, g: 2 * (p * 0.5 - LR * g)),
    "a direction round an owner is the way that p goes": (twice(owner), lambda p, g: p - 2 * (p - (p * 0.5 - LR * g))),
    "round a move too": (twice(shifted(sgd)), lambda p, g: p - 2 * (p - (p + 1 - LR * g))),
    "a direction that names lr applies it itself": (scaled_by_lr(sgd), lambda p, g: p - 3 * LR * g),
    "l2 takes the p that it is given": (l2(shifted(sgd)), lambda p, g: p + 1 - LR * (g + DECAY * p)),
    "from outside": (shifted(l2(sgd)), lambda p, g: p + 1 - LR * (g + DECAY * (p + 1))),
    "decoupled decay comes before the step": (decoupled(plus_p(sgd)), lambda p, g: decayed(p) - LR * (g + decayed(p))),
    "l2 goes through the rule": (l2(twice(sgd)), lambda p, g: p - LR * 2 * (g + DECAY * p)),
    "an owner sees the decayed p": (decoupled(owner), lambda p, g: decayed(p) * 0.5 - LR * g),
}


def decayed(p: Tensor) -> Tensor:
    return (1 - LR * DECAY) * p


@pytest.mark.parametrize("law", LAWS)
def test_the_nesting_is_the_order(law: str) -> None:
    nested, formula = LAWS[law]
    hypers = {"weight_decay": DECAY} if "weight_decay" in nested.hypers else {}
    new, _ = walk(nested, P, [G], lr=LR, **hypers)
    torch.testing.assert_close(new, formula(P, G), rtol=1e-14, atol=1e-15)


def test_a_wrapper_that_changes_nothing_changes_no_bit() -> None:
    @wrapper
    def nothing(direction, g):
        return direction(g)

    for inner in (sgd, owner, decoupled(adam), rules.asgd):
        plain, wrapped = walk(inner, P, [G, 2 * G]), walk(nothing(inner), P, [G, 2 * G])
        assert torch.equal(plain[0], wrapped[0])
        assert all(torch.equal(torch.as_tensor(plain[1][n]), torch.as_tensor(wrapped[1][n])) for n in plain[1])


def test_states_and_hyper_parameters_add_up_from_the_inside_out() -> None:
    nested = ema(decoupled(mars(cautious(adam))))
    assert nested.name == "ema(decoupled(mars(cautious(adam))))"
    assert list(nested.states) == ["exp_avg", "exp_avg_sq", "max_exp_avg_sq", "previous_grad", "average"]
    assert nested.hypers == {
        "betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False, "gamma": 0.025, "weight_decay": 0.0, "ema_decay": 0.999
    }  # fmt: skip
    assert [function.__name__ for function in nested.functions] == ["ema", "decoupled", "mars", "cautious", "adam"]


def test_a_wrapper_reads_the_hyper_parameters_of_what_it_wraps() -> None:
    """MARS asks for Adam's betas."""
    nested = mars(sgd_with_betas := rule(betas_only))
    (p, g), values = tensors(2, 4), {"gamma": 0.5, "betas": (0.5, 0.9)}
    new, states = walk(nested, p, [g, -g], **values)
    c = -g + 0.5 * 0.5 / (1 - 0.5) * (-2 * g)
    torch.testing.assert_close(new, p - 0.1 * g / max(1, g.norm()) - 0.1 * c / max(1, c.norm()))
    assert torch.equal(states["previous_grad"], -g)
    assert sgd_with_betas.hypers == {"betas": (0.9, 0.999)}


def betas_only(g, *, betas=(0.9, 0.999)):
    return g


def test_first_is_of_the_function_that_asks() -> None:
    """The average exists from the first step on, though the buffer inside only comes with momentum."""
    nested = first_of_two(sgd)
    graph = Graph(nested, {"lr": LR, **nested.hypers, "momentum": 0.9})
    assert sorted(graph.first_groups) == [("kept",), ("momentum_buffer",)]


@wrapper
def first_of_two(direction, g, kept=0.0, *, first):
    return direction(g) + where(first, 1, 0), kept + g


def test_a_state_starts_as_what_its_wrapper_is_handed_by_the_optimizer() -> None:
    """``start("p")`` is p before any decay, ``start("g")`` the gradient before any l2."""

    @wrapper
    def remembering(move, g, p, p_then=start("p"), g_then=start("g")):
        return move(g, p), p_then, g_then

    _, states = walk(l2(remembering(decoupled_by_half(sgd))), P, [G, G], weight_decay=DECAY)
    assert states == {}, "states that nobody reads or changes do not exist"

    @wrapper
    def using(move, g, p, p_then=start("p"), g_then=start("g")):
        return move(g, p), p_then * 1.5, g_then * 1.5

    _, states = walk(l2(decoupled_by_half(using(sgd))), P, [G], weight_decay=DECAY)
    assert torch.equal(states["p_then"], P * 1.5)
    assert torch.equal(states["g_then"], G * 1.5)


@wrapper
def decoupled_by_half(move, g, p):
    return move(g, p / 2)


def test_the_library_s_wrappers_compose_in_any_order() -> None:
    """Every order of three of them traces, and no two orders are the same graph."""
    around = (l2, ema, lookahead, cautious, trust_ratio)
    graphs = set()
    for outer, middle, inner in itertools.permutations(around, 3):
        nested = outer(middle(inner(adam)))
        graphs.add(repr(Graph(nested, {"lr": LR, **nested.hypers, "weight_decay": 0.1})))
    assert len(graphs) == 60


def test_a_wrapper_wraps_rules_only() -> None:
    with pytest.raises(TypeError, match=r"ema\(\) wraps a rule, not 0.5"):
        ema(0.5)
    with pytest.raises(TypeError, match=r"l2\(\) wraps a rule or, as a weight-decay policy, a number, not <function"):
        l2(lambda g: sign(g))
