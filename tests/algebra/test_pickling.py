"""Rules, wrappers and views are pickled by their qualified name; one that has none says so, when it is pickled."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from zerograd import rules
from zerograd.algebra import Rule, Wrapper, rule, view, wrapper
from zerograd.rules import adam, cautious, decoupled, ema


@rule
def top_level(g):
    return g


@wrapper
def top_wrapper(direction, g, *, scale=2.0):
    return scale * direction(g)


@view
def top_view(p):
    return p


def plain(g):
    return g


class Inside:
    @staticmethod
    @rule
    def hidden(g):
        return g


@pytest.mark.parametrize("name", rules.__all__)
def test_the_library_s_own_are_found_by_name(name: str) -> None:
    thing = getattr(rules, name)
    assert pickle.loads(pickle.dumps(thing)) is thing


@pytest.mark.parametrize("thing", [top_level, top_wrapper, top_view, Inside.hidden], ids=repr)
def test_a_user_s_own_are_found_by_name(thing: Any) -> None:
    assert pickle.loads(pickle.dumps(thing)) is thing


@pytest.mark.parametrize(
    "nested", [decoupled(adam), ema(cautious(top_wrapper(top_level, scale=3.0)), ema_decay=0.5), rule(plain)], ids=repr
)
def test_a_nested_rule_is_put_together_again(nested: Rule) -> None:
    found = pickle.loads(pickle.dumps(nested))
    assert found.name == nested.name
    assert found.hypers == nested.hypers
    assert [f.function for f in found.functions] == [f.function for f in nested.functions]


def nameless() -> dict[str, Any]:
    @rule
    def local(g):
        return g

    @wrapper
    def local_wrapper(direction, g):
        return direction(g)

    @view
    def local_view(p):
        return p

    return {
        "a lambda": rule(lambda g: g),
        "a local function": local,
        "a local wrapper": local_wrapper,
        "a local view": local_view,
        "inside": decoupled(local),
        "outside": local_wrapper(adam),
    }


@pytest.mark.parametrize("name", nameless())
def test_what_has_no_name_works_but_can_not_be_pickled(name: str) -> None:
    thing = nameless()[name]
    with pytest.raises(
        pickle.PicklingError, match=r"can't be pickled: .* define it with def at the top level of a module"
    ):
        pickle.dumps(thing)


@pytest.mark.parametrize("thing", [*nameless().values(), top_level, decoupled(adam)], ids=repr)
def test_a_copy_is_the_thing_itself(thing: Any) -> None:
    assert copy.copy(thing) is thing
    assert copy.deepcopy(thing) is thing


def test_each_tells_what_it_is() -> None:
    assert isinstance(top_wrapper, Wrapper)
    assert repr(top_level) == "<rule top_level>"
    assert repr(top_wrapper(top_level)) == "<rule top_wrapper(top_level)>"
    assert repr(top_wrapper) == "<wrapper top_wrapper>"
    assert repr(top_view) == "<view top_view>"
    assert adam.__doc__ is not None
    assert adam.__doc__.startswith("Adam: ")
