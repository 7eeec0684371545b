"""The docstrings: examples run, and what they say about arguments and memory is so."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
from importlib import import_module
from typing import Any

import pytest
import torch

from structure.source import Module, modules
from zerograd import RuleOptimizer, matrix, optim, rules
from zerograd.algebra.notation import Rule, Wrapper
from zerograd.engine.documentation import SECTIONS

OPTIMIZERS = [cls for name in optim.__all__ if issubclass(cls := getattr(optim, name), RuleOptimizer)]
NAMED = [getattr(home, name) for home in (rules, matrix) for name in home.__all__]
BOXES = [value for value in NAMED if isinstance(value, (Rule, Wrapper))]
ELEMENTWISE = [cls for cls in OPTIMIZERS if cls.rule.elementwise]

by_class = pytest.mark.parametrize("cls", OPTIMIZERS, ids=lambda cls: cls.__name__)
by_box = pytest.mark.parametrize("box", BOXES, ids=lambda box: box.__name__)


def with_examples() -> list[Module]:
    """The modules with an example in a docstring of their own."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    return [
        module
        for module in modules()
        if any(">>>" in (ast.get_docstring(n) or "") for n in ast.walk(module.tree) if isinstance(n, kinds))
    ]


@pytest.mark.parametrize("module", with_examples(), ids=lambda module: module.name)
def test_the_examples_of_a_module_run(module: Module) -> None:
    result = doctest.testmod(import_module(module.name), raise_on_error=False, verbose=False)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_places_where_people_look_have_examples() -> None:
    named = {module.name for module in with_examples()}
    assert {"zerograd.algebra", "zerograd.algebra.notation", "zerograd.rules", "zerograd.engine.construction"} <= named


# ------------------------------------------------------------------------------------------ optimizer classes


def parts(document: str) -> dict[str, list[str]]:
    """Heading -> its lines without the indentation, in their order; the text before the first heading under ""."""
    found: dict[str, list[str]] = {"": []}
    heading = ""
    for line in document.splitlines():
        if line in SECTIONS:
            heading = line
            assert heading not in found, f"{heading} stands there twice"
            found[heading] = []
        else:
            found[heading].append(line.removeprefix("    ") if heading else line)
    return {name: lines if name in ("", "Example") else [x for x in lines if x] for name, lines in found.items()}


def named(lines: list[str]) -> list[str]:
    """The hyper-parameters that are explained: "lr: ..." and "betas, eps: ...", not lines that go on from another."""
    return [name for line in lines if (m := re.match(r"(\w+(?:, \w+)*): \S", line)) for name in m[1].split(", ")]


@by_class
def test_a_class_has_the_seven_parts_in_order(cls: type[RuleOptimizer]) -> None:
    found = parts(cls.__doc__ or "")
    assert list(found) == ["", *SECTIONS]
    assert all(found.values())
    summary = found[""][0]
    assert summary.endswith(".")
    assert len(summary) <= 112, "one line, also in a stub"


@by_class
def test_every_hyper_parameter_is_explained_once_and_no_other(cls: type[RuleOptimizer]) -> None:
    explained = named(parts(cls.__doc__ or "")["Hyper-parameters"])
    assert sorted(explained) == sorted(set(inspect.signature(cls).parameters) - {"params"})


@by_class
def test_the_example_of_a_class_runs_and_its_loss_falls(cls: type[RuleOptimizer]) -> None:
    example = "\n".join(parts(cls.__doc__ or "")["Example"])
    assert f"optim.{cls.__name__}(model.parameters())" in example
    session: dict[str, Any] = {}
    test = doctest.DocTestParser().get_doctest(example, session, cls.__name__, None, 0)
    said: list[str] = []
    with torch.random.fork_rng(devices=[]):
        result = doctest.DocTestRunner(verbose=False).run(test, out=said.append, clear_globs=False)
    assert result.failed == 0, "".join(said)
    losses = test.globs["losses"]
    assert len(losses) == 20
    assert losses[-1] < losses[0]


def measured_bytes(cls: type[RuleOptimizer], **flags: Any) -> float:
    """Bytes of state for each parameter after a step, without what is one number for a whole tensor."""
    p = torch.nn.Parameter(torch.linspace(-1, 1, 1000))
    g = torch.linspace(1, 2, 1000)
    p.grad = g.to_sparse() if cls.sparse == "only" else g
    optimizer = cls([p], **flags)
    optimizer.step()
    tensors = [value for value in optimizer.state[p].values() if value.dim() > 0]
    return float(sum(t.untyped_storage().nbytes() for t in tensors) / p.numel())


def flags_of(cls: type[RuleOptimizer]) -> dict[str, Any]:
    """The hyper-parameters that are off by default, switched on: those on which the state may depend."""
    found = {}
    for name, default in cls.rule.hypers.items():
        if default is False or (not isinstance(default, bool) and default == 0):
            found[name] = True if default is False else 0.5
    return found


@pytest.mark.parametrize("cls", ELEMENTWISE, ids=lambda cls: cls.__name__)
def test_the_bytes_of_state_are_those_that_a_step_allocates(cls: type[RuleOptimizer]) -> None:
    state = parts(cls.__doc__ or "")["State"]
    base = re.fullmatch(r"(\d+) bytes a parameter in float32( \([\w, ]+\))?\.", state[0])
    assert base, state[0]
    assert measured_bytes(cls) == int(base[1])
    added = {}
    for line in state[1:]:
        more = re.fullmatch(r"(\w+) adds (\d+) bytes \([\w, ]+\)\.", line)
        assert more, line
        added[more[1]] = int(more[2])
    for name, value in flags_of(cls).items():
        if name == "nesterov":
            continue  # it needs momentum, and takes nothing more
        assert measured_bytes(cls, **{name: value}) - measured_bytes(cls) == added.pop(name, 0), name
    assert not added, "a flag that does not exist"


# ---------------------------------------------------------------------------------------- rules and wrappers


@by_box
def test_a_rule_and_a_wrapper_have_their_parts(box: Rule | Wrapper) -> None:
    found = parts(inspect.getdoc(box) or "")
    own = ["Example"] if "Example" in found else []  # where the usual one would not do
    assert list(found) == ["", "Algorithm", "Hyper-parameters", "When to use", "Reference", *own]
    assert all(found.values())
    assert re.search(r"\b(19|20)\d\d\b", " ".join(found["Reference"])), "a reference has a year"


@by_box
def test_a_rule_and_a_wrapper_explain_their_own_hyper_parameters(box: Rule | Wrapper) -> None:
    explained = set(named(parts(inspect.getdoc(box) or "")["Hyper-parameters"]))
    own = set(box.hypers)
    assert own <= explained <= own | {"lr"}
