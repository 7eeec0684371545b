"""How state starts: as a number, a copy, a hyper-parameter; one number an element, a tensor, a group or in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from zerograd.algebra.graph import PER, Level
from zerograd.errors import RuleError


@dataclass(frozen=True)
class Start:
    """State that starts as a copy of p or g, or filled with the value of a hyper-parameter."""

    name: str


@dataclass(frozen=True)
class Scalar:
    """State that is one number per tensor, group or in all; ``value`` is a number or a hyper-parameter's name."""

    value: float | str
    per: str = "tensor"


PARTS = ("rows", "columns", "vector")


@dataclass(frozen=True)
class Part:
    """State of a matrix rule that is smaller than its parameter; see ``part``."""

    name: str

    def shape(self, whole: tuple[int, ...]) -> tuple[int, ...] | None:
        """The shape of this state for a parameter of that shape; None if such a parameter has none of it."""
        if self.name == "vector":
            return whole if len(whole) < 2 else None
        if len(whole) < 2:
            return None
        return (*whole[:-1], 1) if self.name == "rows" else (*whole[:-2], 1, whole[-1])


StateSpec = float | Start | Scalar | Part


def start(name: str) -> Any:
    """State that starts as a copy of ``"p"`` or ``"g"``, or filled with the hyper-parameter ``name``.

    It is shaped like the parameter. A name that the rule does not have is a RuleError when the rule is made.
    """
    return Start(name)


def scalar(value: float | str, per: str = "tensor") -> Any:
    """State that is one number per ``"tensor"``, ``"group"`` or in ``"all"``, kept in float64.

    ``value``: the number that it starts with, or the name of the hyper-parameter that gives it. RuleError for another
    ``per``.
    """
    if per not in PER:
        raise RuleError(f"scalar(..., per={per!r}): per is 'tensor', 'group' or 'all'")
    return Scalar(value, per)


def part(name: str) -> Any:
    """State of a matrix rule: one number for each of the ``"rows"`` or ``"columns"`` of the last two dimensions, which
    parameters of less than two dimensions do not have, or for each element of a ``"vector"``, which only they have.
    RuleError for another name.
    """
    if name not in PARTS:
        raise RuleError(f"part({name!r}): it is one of {', '.join(map(repr, PARTS))}")
    return Part(name)


def level_of(spec: StateSpec) -> Level:
    """How many numbers a state is."""
    return PER[spec.per] if isinstance(spec, Scalar) else Level.ELEMENT
