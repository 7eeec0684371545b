"""What the guard knows of states: whether a group of one in 8 bits has become nan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zerograd.formats.poisoning import in_words, poisoned
from zerograd.lifecycle.findings import NAMED, Finding, place, sites_of
from zerograd.lifecycle.sites import Trail

SELDOM = 64
"""After so many steps, at the latest, those of an optimizer that is watched closely all the time are looked at."""


class States:
    """The states of one optimizer, whose scales are read now and then.

    say: called with a finding. It is certain when it is seen, for nothing makes a lost group whole again by itself.
    """

    def __init__(self, kind: str, say: Callable[[Finding], None]) -> None:
        self._kind, self._say = kind, say
        self._next = 1
        self._told: set[tuple[int, str]] = set()

    def glance(self, optimizer: Any, steps: int, where: Trail, names: Callable[[Any], dict[int, str]]) -> None:
        """Before a step that is watched closely: look if it is time to, which is after 1, 2, 4, ... steps."""
        if steps >= self._next:
            self._next = steps + min(steps, SELDOM)
            self.look(optimizer, f"before step {steps}", steps, where, names)

    def look(self, optimizer: Any, when: str, steps: int, where: Trail, names: Callable[[Any], dict[int, str]]) -> None:
        """Say which states are nan that were not before."""
        found = [one for one in poisoned(optimizer.state) if (id(one[0]), one[1]) not in self._told]
        if not found:
            return
        self._told.update((id(p), state) for p, state, _ in found)
        known = names(optimizer)
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        self._say(
            Finding(
                "ZG801",
                f"{when} of {self._kind}{place(where)} 8-bit states are nan: {in_words(found[:NAMED], known)}{more}. An"
                " earlier gradient was nan, infinite, or so large that its square was, and its whole group of elements"
                " is lost. Load a checkpoint from before it, or start the state anew: del optimizer.state[parameter].",
                list(dict.fromkeys(known.get(id(p), "a parameter in no group") for p, *_ in found)),
                [steps],
                sites_of(where),
            )
        )
