"""The guard's wrong programs, read instead of run: right ones are left in peace, a known share of the wrong is seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from linting.fixtures import findings_of
from mutation.operators import mutants

PROGRAMS = sorted((Path(__file__).parents[1] / "programs").glob("*.py"))

ALWAYS_SEEN = ("plain", "checkpointing", "ddp", "tied")
"""Programs of one plain loop: there each of these mutants is wrong for certain and must be seen."""

SEEN = 160
"""Of all mutants, so many at least. Most of the others learn the same as the right program (zero twice, zero moved
about); of the rest the larger part has no step at all, or is a matter of which loss belongs to whom."""


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


def test_so_many_mutants_are_seen() -> None:
    all_of_them = [mutant for path in PROGRAMS for mutant in mutants(path.read_text("utf-8"))]
    assert sum(bool(findings_of(mutant.source)) for mutant in all_of_them) >= SEEN
