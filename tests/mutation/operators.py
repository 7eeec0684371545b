"""The operators. Each works on the syntax tree and changes one call of the cycle: a clear, a backward or a step."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

CYCLE = ("zero_grad", "backward", "step", "clear")
NO_OPTIMIZERS = ("env", "scheduler", "profiler")
BLOCKS = ("body", "orelse", "finalbody")


@dataclass(frozen=True)
class Mutant:
    """A changed program. operator: what was done; line: to the call on this line; call: its words."""

    operator: str
    line: int
    call: str
    source: str

    @property
    def name(self) -> str:
        """For tables: ``delete 12 optimizer.step()``."""
        return f"{self.operator} {self.line} {self.call}"


def mutants(source: str) -> list[Mutant]:
    """Every program that one operator at one call of the cycle makes from this one; each text once."""
    found: dict[str, Mutant] = {}
    plain = ast.unparse(ast.parse(source))
    for at, _ in enumerate(_calls(ast.parse(source))):
        for operator in OPERATORS:
            tree = ast.parse(source)
            block, index, parents = list(_calls(tree))[at]
            statement = block[index]
            line, call = statement.lineno, ast.unparse(statement)
            if not OPERATORS[operator](block, index, parents):
                continue
            text = ast.unparse(ast.fix_missing_locations(tree))
            if text != plain:
                found.setdefault(text, Mutant(operator, line, call, text))
    return list(found.values())


def is_cycle_call(statement: ast.stmt) -> bool:
    """Whether a statement is a call that clears, goes backward or steps."""
    if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)):
        return False
    function = statement.value.func
    if isinstance(function, ast.Name):
        return function.id in CYCLE
    if not isinstance(function, ast.Attribute) or function.attr not in CYCLE:
        return False
    return not any(word in ast.unparse(function.value) for word in NO_OPTIMIZERS)


Parents = list[tuple[list[ast.stmt], int]]
"""The blocks round a statement, the innermost last, each with the place of the compound statement in it."""


def _calls(tree: ast.Module) -> Iterator[tuple[list[ast.stmt], int, Parents]]:
    def walk(block: list[ast.stmt], parents: Parents) -> Iterator[tuple[list[ast.stmt], int, Parents]]:
        for index, statement in enumerate(block):
            if is_cycle_call(statement):
                yield block, index, parents
            inside = [] if isinstance(statement, ast.FunctionDef | ast.ClassDef) else [*parents, (block, index)]
            for name in BLOCKS:
                inner = getattr(statement, name, None)
                if isinstance(inner, list):
                    yield from walk(inner, inside)
            for handler in getattr(statement, "handlers", []):
                yield from walk(handler.body, inside)

    yield from walk(tree.body, [])


def _delete(block: list[ast.stmt], index: int, _: Parents) -> bool:
    block[index] = ast.Pass()
    return True


def _duplicate(block: list[ast.stmt], index: int, _: Parents) -> bool:
    block.insert(index, copy.deepcopy(block[index]))
    return True


def _swap(block: list[ast.stmt], index: int, _: Parents) -> bool:
    for other in range(index + 1, len(block)):
        if is_cycle_call(block[other]):
            block[index], block[other] = block[other], block[index]
            return True
    return False


def _move_first(block: list[ast.stmt], index: int, parents: Parents) -> bool:
    if parents:
        block.insert(0, block.pop(index))
    return bool(parents)


def _move_last(block: list[ast.stmt], index: int, parents: Parents) -> bool:
    if parents and not isinstance(block[-1], ast.Return | ast.Continue):
        block.append(block.pop(index))
        return True
    return False


def _dedent(block: list[ast.stmt], index: int, parents: Parents) -> bool:
    if not parents or isinstance(parents[-1][0][parents[-1][1]], ast.With):
        return False
    outer, place = parents[-1]
    outer.insert(place + 1, block[index])
    block[index] = ast.Pass()
    return True


OPERATORS = {
    "delete": _delete,
    "duplicate": _duplicate,
    "swap": _swap,
    "move first": _move_first,
    "move last": _move_last,
    "dedent": _dedent,
}
