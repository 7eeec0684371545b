"""The guard's wrong programs, read instead of run: right ones are left in peace, a known share of the wrong is seen."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from linting.fixtures import findings_of
from mutation.operators import Mutant, mutants

PROGRAMS = sorted((Path(__file__).parents[1] / "programs").glob("*.py"))

ALWAYS_SEEN = ("plain", "checkpointing", "ddp", "tied")
"""Programs of one plain loop: there each of these mutants is wrong for certain and must be seen."""

BY_HAND = ("attack", "by_hand", "functional", "lbfgs", "rebuilt", "sam", "shared_memory")
"""Programs that write gradients or make optimizers and closures themselves: much is unknown there."""

SAME, LATE, LOSSES, HAND, MISSED = "same", "late", "losses", "by hand", "missed"
SHARE = {"found": 200, SAME: 48, LATE: 21, LOSSES: 34, HAND: 90, MISSED: 10}
"""All mutants. Those that are not found: cleared twice or elsewhere in the same order; a step that uses what the
iteration before has made; one of several backward passes missing, doubled or moved, which is another loss and no
other order; programs by hand; and what remains, which could be seen."""


def reason(stem: str, mutant: Mutant) -> str:
    """Why a mutant is not found."""
    if stem in BY_HAND:
        return HAND
    clears, moved = "zero" in mutant.call, mutant.operator.startswith(("move", "swap"))
    if clears and (moved or mutant.operator == "duplicate"):
        return SAME
    if "backward" in mutant.call:
        return LOSSES
    return LATE if moved else MISSED


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_right_program_is_left_in_peace(path: Path) -> None:
    assert [f for f in findings_of(path.read_text("utf-8")) if f.severity != "info"] == []


@pytest.mark.parametrize("stem", ALWAYS_SEEN)
def test_a_cycle_that_is_certainly_broken_is_seen(stem: str) -> None:
    (path,) = (p for p in PROGRAMS if p.stem == stem)
    for mutant in mutants(path.read_text("utf-8")):
        broken = mutant.operator in ("delete", "dedent", "swap") and not (
            mutant.operator == "delete" and mutant.call.endswith("step()")
        )
        if broken:
            assert findings_of(mutant.source), f"{mutant.name}\n{mutant.source}"


def test_so_many_mutants_are_seen_and_the_others_are_accounted_for() -> None:
    counts: Counter[str] = Counter()
    for path in PROGRAMS:
        for mutant in mutants(path.read_text("utf-8")):
            counts["found" if findings_of(mutant.source) else reason(path.stem, mutant)] += 1
    assert counts == SHARE
