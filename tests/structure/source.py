"""The source files of the package, parsed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = "zerograd"


@dataclass(frozen=True)
class Module:
    """One file of the package. ``name``: zerograd.rules._adam; of a package's ``__init__``, the package's."""

    name: str
    path: Path

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def family(self) -> str:
        """The part of the package that has a floor: the first name below zerograd ("" for zerograd itself)."""
        return family(self.name)

    @property
    def tree(self) -> ast.Module:
        return _parsed(self.path)


def family(name: str) -> str:
    """The first name below zerograd in the full name of a module."""
    return name.split(".")[1] if "." in name else ""


@cache
def modules() -> tuple[Module, ...]:
    """Every module of zerograd."""
    found = []
    for path in sorted((SRC / PACKAGE).rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found.append(Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return tuple(found)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """The nodes of all strings that only explain: a statement that is a string and nothing else."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }


def definitions(body: list[ast.stmt]) -> Iterator[str]:
    """The names that the statements of a module bind themselves: functions, classes and assigned values."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            yield from (node.id for t in targets for node in ast.walk(t) if isinstance(node, ast.Name))
        elif isinstance(statement, (ast.If, ast.Try)):
            for part in ("body", "orelse", "finalbody"):
                yield from definitions(getattr(statement, part, []))


def imports(module: Module) -> Iterator[tuple[str, ast.stmt | ast.expr]]:
    """The full names of all modules that a module imports, wherever in the file, each with the place.

    ``from zerograd import rules`` imports zerograd.rules; so do ``import_module("zerograd.rules")`` and, as far as its
    beginning is known, ``import_module(f"zerograd.rules.{name}")``.
    """
    known = {m.name for m in modules()}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = _absolute(module, node)
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                yield (inner if inner in known else origin), node
        elif isinstance(node, ast.Call) and (name := _imported_by_call(node)):
            yield name, node


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    parts = parts[: len(parts) - node.level + module.is_package]
    return ".".join([*parts, *([node.module] if node.module else [])])


def _imported_by_call(node: ast.Call) -> str:
    """The module that ``import_module(...)`` names, as far as it is known here; "" for other calls."""
    if getattr(node.func, "id", getattr(node.func, "attr", "")) not in ("import_module", "__import__") or not node.args:
        return ""
    argument = node.args[0]
    if isinstance(argument, ast.JoinedStr) and argument.values:
        argument = argument.values[0]
    return argument.value.rstrip(".") if isinstance(argument, ast.Constant) and isinstance(argument.value, str) else ""
