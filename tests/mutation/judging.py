"""What the guard says of one right program, and of all that is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mutation.operators import mutants
from mutation.running import run

CODES = {"ZG101", "ZG103", "ZG105", "ZG106", "ZG110", "ZG111"}


@dataclass
class Judgement:
    """error, said: of the right program under the guard. disturbed: its weights are others than without.

    Of the mutants: named: how many; missed: neither an error, nor equivalent, nor named; noisy: named though they are
    equivalent; strange: codes that the guard does not have.
    """

    error: str | None
    said: list[str]
    disturbed: bool
    named: int = 0
    missed: list[str] = field(default_factory=list)
    noisy: dict[str, list[str]] = field(default_factory=dict)
    strange: list[str] = field(default_factory=list)


def judged(path: Path) -> Judgement:
    """Run a program with the guard and without it, and every mutant with it."""
    source = path.read_text("utf-8")
    guarded, right = run(source, path), run(source, path, guarded=False)
    error = None if guarded.error is None else repr(guarded.error)
    found = Judgement(error, guarded.said, not right.weights or not guarded.agrees(right))
    for mutant in mutants(source):
        outcome = run(mutant.source, path)
        found.strange += sorted(set(outcome.codes) - CODES)
        if outcome.error is not None:
            continue
        if outcome.agrees(right):  # equal weights, bit for bit
            if outcome.codes:
                found.noisy[mutant.name] = outcome.said
        elif outcome.codes:
            found.named += 1
        else:
            found.missed.append(mutant.name)
    return found
