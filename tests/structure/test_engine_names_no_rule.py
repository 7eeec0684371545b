"""The engine and the kernels know the notation, never an algorithm: they name no rule, no wrapper, no optimizer.

Prose may; code may not. Looked at are names, attributes, arguments, keywords, imports and every string that is not a
docstring.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from structure.source import Module, docstrings, family, imports, modules
from zerograd import optim, rules

ALGORITHMS = {*rules.__all__, *optim.__all__}
EXCEPTIONS = {
    ("Optimizer", "torch.optim.Optimizer is the base class, not an algorithm"),
    ("Adam", "the error for dense gradients recommends it, in torch's own words"),
    ("SparseAdam", "the error for sparse gradients recommends it, in torch's own words"),
}
HOMES = {"rules", "matrix"}
BLIND = [module for module in modules() if module.family in ("engine", "kernels")]


def words(module: Module) -> Iterator[tuple[str, int]]:
    """Every word of a module's code, with its line."""
    prose = docstrings(module.tree)
    for node in ast.walk(module.tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and node not in prose:
                yield from ((word, line) for word in re.findall(r"\w+", node.value))
            continue
        for value in (getattr(node, field, None) for field in ("id", "attr", "arg", "name", "module", "asname")):
            if isinstance(value, str):
                yield from ((word, line) for word in re.findall(r"\w+", value))


@pytest.mark.parametrize("module", BLIND, ids=lambda module: module.name)
def test_no_algorithm_is_named(module: Module) -> None:
    excepted = {name for name, _ in EXCEPTIONS}
    named = [f"{word} (line {line})" for word, line in words(module) if word in ALGORITHMS - excepted]
    assert not named, f"{module.name} names {', '.join(named)}"


@pytest.mark.parametrize("module", BLIND, ids=lambda module: module.name)
def test_no_algorithm_is_imported(module: Module) -> None:
    assert not [name for name, _ in imports(module) if name.startswith("zerograd.") and family(name) in HOMES]


def test_the_exceptions_are_needed() -> None:
    used = {word for module in BLIND for word, _ in words(module)}
    assert {name for name, _ in EXCEPTIONS} <= used
