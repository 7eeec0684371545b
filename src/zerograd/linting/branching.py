"""Rows of ``if``, ``elif``, ``elif``: for Python's tree each is in the ``else`` of the one before."""

from __future__ import annotations

import ast
from collections.abc import Iterator


def is_elif(statement: ast.If) -> bool:
    """Whether nothing is in the ``else`` of a statement but one more ``if``."""
    return len(statement.orelse) == 1 and isinstance(statement.orelse[0], ast.If)


def chain_of(statement: ast.If) -> Iterator[ast.If]:
    """A statement and all that follow it with ``elif``."""
    yield statement
    while is_elif(statement):
        statement = statement.orelse[0]  # type: ignore[assignment]
        yield statement
