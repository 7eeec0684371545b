"""Every value is one number per element, tensor, group or in all; a state's new value may not be finer than itself."""

# ruff: noqa: ARG001, B008  # rules: the signature says what there is, and how state starts

from __future__ import annotations

from typing import Any

import pytest

from zerograd import RuleError, algebra
from zerograd.algebra import Graph, mean, norm, rule, scalar, sign, sqrt, total, where
from zerograd.algebra.graph import Level
from zerograd.rules import l2

VALUES = {"lr": 0.1, "h": 0.5, "pair": (0.25, 0.75), "weight_decay": 0.0}


@rule
def samples(
    g, p, s, per_tensor=scalar(1.0), per_group=scalar(1.0, per="group"), per_all=scalar(1.0, per="all"), *,
    lr, h=0.5, pair=(0.25, 0.75), t, first,
):  # fmt: skip
    """One expression of each kind, in the order of EXPECTED."""
    found = [
        g, p + s, g * h, where(first, g, 0),
        per_tensor, t, sqrt(t + h), where(t == 1, 1, 0), norm(g), norm(g) * h, per_tensor * per_all, total(s) / t,
        per_group, h, lr, pair[0] ** pair[1], total(g, per="group"), per_all * h, sign(h),
        per_all, total(g, per="all"), mean(s, per="all") + 1,
    ]  # fmt: skip
    samples.found = found
    return p - lr * g, s, per_tensor, per_group, per_all


EXPECTED = [Level.ELEMENT] * 4 + [Level.TENSOR] * 8 + [Level.GROUP] * 7 + [Level.ALL] * 3
LATE = {8, 9, 11, 16, 20, 21}


@pytest.fixture(scope="module")
def found() -> list[Any]:
    Graph(samples, VALUES)
    return samples.found


@pytest.mark.parametrize("index", range(len(EXPECTED)))
def test_an_expression_has_the_level_of_its_finest_part(found: list[Any], index: int) -> None:
    assert found[index].level == EXPECTED[index], found[index]


@pytest.mark.parametrize("index", range(len(EXPECTED)))
def test_what_hangs_on_a_reduction_is_late_and_the_rest_of_the_scalars_is_the_hosts(
    found: list[Any], index: int
) -> None:
    node = found[index]
    assert node.late == (index in LATE)
    assert node.on_host == (EXPECTED[index] > Level.ELEMENT and index not in LATE)


def test_each_reduction_on_the_way_ends_a_pass() -> None:
    @rule
    def three(g):
        once = g / norm(g)
        twice = once * total(once * g)
        return twice / mean(abs(twice))

    assert Graph(three, {"lr": 0.1}).p.stage == 3


def test_a_state_computed_from_a_reduction_is_late_and_so_is_what_is_computed_from_it() -> None:
    @rule
    def chained(g, a=scalar(1.0), b=scalar(1.0), c=scalar(1.0)):
        return a * g, b, c + 1, norm(g)

    graph = Graph(chained, {"lr": 0.1})
    assert [graph.old[name].late for name in "abc"] == [True, True, True]
    assert graph.p.nodes[1].late


ALLOWED = {
    "tensor": {"norm(g) * h", "t", "total(g, per='group')", "h", "total(g, per='all') * h", "2.0"},
    "group": {"total(g, per='group')", "h", "total(g, per='all') * h", "2.0"},
    "all": {"h", "total(g, per='all') * h", "2.0"},
}
"""What a state that is one number per this may become. All may read hyper-parameters: it is checked that the groups
agree on them."""

NEW_VALUES = sorted({"g", "where(t == 1, g, h)"}.union(*ALLOWED.values()))


@pytest.mark.parametrize("value", NEW_VALUES)
@pytest.mark.parametrize("per", ALLOWED)
def test_a_state_may_not_become_finer_than_it_is(per: str, value: str) -> None:
    """A state that is one in all may read hyper-parameters: the engine checks that the groups agree on them."""

    @rule
    def changing(g, s=scalar(1.0, per=per), *, h=0.5, t):
        return g, eval(value, vars(algebra) | {"g": g, "h": h, "t": t})

    if value in ALLOWED[per]:
        assert Graph(changing, VALUES).scalar_states.keys() == {"s"}
    else:
        with pytest.raises(
            RuleError, match=rf"rule 'changing', .*{__name__.split('.')[-1]}.py:\d+: state s is one number per {per}"
        ):
            Graph(changing, VALUES)


def test_a_state_that_is_one_in_all_tells_which_hyper_parameters_must_be_equal() -> None:
    """Those of its own rule, also under a reduction, and its start; not what a wrapper does to g before."""

    @rule
    def estimating(g, d=scalar("d0", per="all"), *, a=1.0, b=2.0, c=3.0, d0=0.5):
        return g * c, a * d + total(b * g, per="all")

    assert Graph(estimating, {"lr": 0.1, **estimating.hypers}).shared == ("a", "b", "d0")

    wrapped = l2(estimating)
    assert Graph(wrapped, {"lr": 0.1, **wrapped.hypers, "weight_decay": 0.1}).shared == ("a", "b", "d0")
