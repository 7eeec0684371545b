"""Sizes that keep the source readable, and the sentence that may be written only once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from structure.source import ROOT, SRC, Module, modules

Kind = TypeVar("Kind", bound=ast.AST)

LINES = 400
METHODS = 21

FILES = [path for folder in (SRC, ROOT / "tests", ROOT / "tools") for path in sorted(folder.rglob("*.py"))]
CLASSES = [
    pytest.param(node, id=f"{module.name}.{node.name}")
    for module in modules()
    for node in ast.walk(module.tree)
    if isinstance(node, ast.ClassDef)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_has_fewer_than_400_lines(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines < LINES, f"{lines} lines; give a part of it a file and a name of its own"


@pytest.mark.parametrize("node", CLASSES)
def test_a_class_has_fewer_than_21_methods(node: ast.ClassDef) -> None:
    """Dunder methods and properties count; the overloads, getter and setter of one name are one."""
    methods = {part.name for part in node.body if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef))}
    assert len(methods) < METHODS, f"{len(methods)} methods; let it delegate: {', '.join(sorted(methods))}"


def nodes(kind: type[Kind]) -> Iterator[tuple[Module, Kind]]:
    """All nodes of a kind in the package, each with its module."""
    for module in modules():
        yield from ((module, node) for node in ast.walk(module.tree) if isinstance(node, kind))


def test_the_library_has_one_step() -> None:
    steps = [
        module.name
        for module, node in nodes(ast.FunctionDef)
        if node.name == "step" and not any(ast.unparse(d) == "overload" for d in node.decorator_list)
    ]
    assert steps == ["zerograd.engine.optimizer"]


def test_kernels_are_driven_in_one_place() -> None:
    sends = [module.name for module, node in nodes(ast.Attribute) if node.attr == "send"]
    assert sends == ["zerograd.engine.stepping"]


def test_the_step_loop_is_called_in_one_place() -> None:
    calls = [module.name for module, node in nodes(ast.Call) if ast.unparse(node.func).endswith("stepping.take")]
    assert calls == ["zerograd.engine.optimizer"]


def test_parameter_groups_are_walked_through_by_the_engine_and_by_what_works_for_any_optimizer() -> None:
    loops: list[tuple[Module, ast.For | ast.comprehension]] = [*nodes(ast.For), *nodes(ast.comprehension)]
    walks = {module.family for module, node in loops if "param_groups" in ast.unparse(node.iter)}
    assert walks == {"engine", "lifecycle"}
    assert {
        module.name
        for module, node in loops
        if "param_groups" in ast.unparse(node.iter) and module.family == "lifecycle"
    } == {"zerograd.lifecycle.ownership"}
