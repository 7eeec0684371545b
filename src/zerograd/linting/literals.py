"""Lists, tuples and dictionaries that are written out, and what each element of one is."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from zerograd.linting.scopes import Value

Literal = ast.List | ast.Tuple | ast.Dict
MOST = 4
"""Literal collections of more elements than this are taken as one thing."""


def literal_of(values: Sequence[Value]) -> Literal | None:
    """The one literal collection that is assigned to a name, if nothing else is."""
    if len(values) != 1 or values[0].how != "is":
        return None
    expression = values[0].expression
    return expression if isinstance(expression, (ast.List, ast.Tuple, ast.Dict)) else None


def parts_of(literal: ast.expr) -> dict[str, ast.expr]:
    """The elements of a literal, each under the part of a path that an index or key of it is written as.

    Empty where it has too many, or keys that are no constants.
    """
    if isinstance(literal, ast.Dict):
        keys = [f"[{key.value!s}]" for key in literal.keys if isinstance(key, ast.Constant)]
        found = dict(zip(keys, literal.values, strict=False)) if len(keys) == len(literal.values) else {}
    else:
        elements: list[ast.expr] = getattr(literal, "elts", [])
        starred = any(isinstance(element, ast.Starred) for element in elements)
        found = {} if starred else {f"[{index}]": element for index, element in enumerate(elements)}
    return found if len(found) <= MOST else {}


def element(values: Sequence[Value], part: str) -> list[Value]:
    """What ``name["key"]`` is, where all that is assigned to the name is one literal that has the key."""
    literal = literal_of(values)
    found = parts_of(literal).get(part) if literal is not None else None
    return [Value(found, "is", values[0].scope)] if found is not None else []
