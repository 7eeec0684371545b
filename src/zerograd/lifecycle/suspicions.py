"""What a judge remembers of what was seen, until it is confirmed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from zerograd.lifecycle.findings import Finding
from zerograd.lifecycle.lives import Pass
from zerograd.lifecycle.sites import Trail


@dataclass
class Suspicion:
    """The same thing seen ``count`` times, the last time in the cycle ``last``."""

    finding: Callable[[], Finding]
    count: int = 0
    last: int = -1
    reported: Finding | None = None
    streak: int = 0
    checked: bool = False
    retried: bool = False
    first: int = 0
    passes: int = 0
    sizes: Counter[int] = field(default_factory=Counter)
    others: Others | None = None


@dataclass
class Others:
    """The parameters that backward reached, at ``backward``, while an optimizer's own were left out.

    owners: gives the kinds of the optimizers that hold them. alike: they have the shapes of the optimizer's own,
    so that these, which nobody may know by name any more, are called what they are called.
    """

    names: list[str]
    backward: Trail
    owners: Callable[[], list[str]] = list
    alike: bool = False


@dataclass
class Idle:
    """Steps from one place in the program, all of which found nothing, and the backward passes before them."""

    finding: Callable[[], Finding]
    count: int = 0
    passes: list[Pass] = field(default_factory=list)
    always: bool = True
