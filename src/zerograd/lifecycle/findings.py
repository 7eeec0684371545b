"""What the guard has to say: a finding, once for each cause, in words and as an object for reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from zerograd.hazards import find
from zerograd.lifecycle.sites import Site, Trail

NAMED = 4
"""How many parameters a sentence names."""


@dataclass
class Finding:
    """A hazard that was found: what, in which parameters, at which steps, at which lines, and how often so far."""

    code: str
    message: str
    parameters: list[str]
    steps: list[int]
    sites: list[Site] = field(default_factory=list)
    count: int = 1

    @property
    def name(self) -> str:
        """The hazard's name in the catalogue."""
        return find(self.code).name

    def as_object(self) -> dict[str, Any]:
        """For the report."""
        return {
            "code": self.code,
            "name": self.name,
            "message": self.message,
            "parameters": self.parameters,
            "steps": self.steps,
            "locations": [str(site) for site in self.sites],
            "count": self.count,
        }

    def __str__(self) -> str:
        return f"{self.code} {self.name}: {self.message}"


def as_one(same: Sequence[Finding]) -> dict[str, Any]:
    """For the report: what several optimizers have in common, by the first one's words."""
    names = list(dict.fromkeys(name for finding in same for name in finding.parameters))
    return {**same[0].as_object(), "parameters": names, "count": sum(finding.count for finding in same)}


def place(where: Trail) -> str:
    """`` at train.py:12``, or nothing if the line is not known."""
    return f" at {where[0]}" if where else ""


def sites_of(*trails: Trail) -> list[Site]:
    """The innermost lines of the user's, each once."""
    return list(dict.fromkeys(where[0] for where in trails if where))


def some(names: Sequence[str]) -> str:
    """``2 parameters: weight, bias``, with no more names than a sentence bears."""
    shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} parameter{'s' if len(names) != 1 else ''}: {shown}" if names else "no parameter"
