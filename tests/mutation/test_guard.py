"""Right programs never cause a sound; wrong ones made from them are named, unless they end with the same weights."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from mutation.missed import MISSED
from mutation.operators import mutants
from mutation.running import PROGRAMS, run

CODES = {"ZG101", "ZG103", "ZG105", "ZG106", "ZG110", "ZG111"}

APART = {"shared_memory", "ddp"}
"""Programs with processes of their own: forked from one in which torch's threads have run, these may wait for ever."""

by_program = pytest.mark.parametrize(
    "path", [path for path in PROGRAMS if path.stem not in APART], ids=lambda path: path.stem
)


@by_program
def test_a_right_program_is_left_in_peace(path: Path) -> None:
    """Nothing is said, and the weights are the same bit for bit as without the guard."""
    source = path.read_text("utf-8")
    guarded, alone = run(source, path), run(source, path, guarded=False)
    assert guarded.error is None
    assert guarded.said == []
    assert alone.weights
    assert guarded.agrees(alone)


@by_program
def test_every_mutant_is_an_error_or_equivalent_or_named(path: Path) -> None:
    """Equivalent: equal weights, bit for bit. What is missed stands in a table with the reason."""
    source = path.read_text("utf-8")
    right = run(source, path, guarded=False)
    found: Counter[str] = Counter()
    missed, noisy, strange = set(), {}, set()
    for mutant in mutants(source):
        outcome = run(mutant.source, path)
        strange |= set(outcome.codes) - CODES
        if outcome.error is not None:
            found["error"] += 1
        elif outcome.agrees(right):
            found["equivalent"] += 1
            if outcome.codes:
                noisy[mutant.name] = outcome.said
        elif outcome.codes:
            found["named"] += 1
        else:
            missed.add(mutant.name)
    assert not noisy, "said of programs that learn the same"
    assert not strange
    assert missed == set(MISSED.get(path.stem, {}))
    assert found["named"] or path.stem == "functional"


EXPECTED = {
    "delete 16 optimizer.zero_grad()": "ZG101",
    "dedent 16 optimizer.zero_grad()": "ZG101",
    "move last 16 optimizer.zero_grad()": None,
    "delete 18 loss.backward()": "ZG110",
    "dedent 18 loss.backward()": "ZG110",
    "swap 18 loss.backward()": "ZG103",
    "delete 19 optimizer.step()": "ZG105",
    "duplicate 19 optimizer.step()": "ZG111",
    "move first 19 optimizer.step()": "ZG110",
    "dedent 19 optimizer.step()": "ZG105",
}
"""What the plain loop becomes, and its code; None for a rotation."""


@pytest.mark.parametrize(("name", "code"), EXPECTED.items())
def test_the_plain_loop_gone_wrong_has_the_right_code(name: str, code: str | None) -> None:
    path = next(path for path in PROGRAMS if path.stem == "plain")
    (mutant,) = (mutant for mutant in mutants(path.read_text("utf-8")) if mutant.name == name)
    outcome = run(mutant.source, path)
    assert outcome.codes == ([] if code is None else [code]), outcome.said


def test_there_are_programs_of_many_shapes() -> None:
    assert len(PROGRAMS) >= 15
    assert set(MISSED) <= {path.stem for path in PROGRAMS}
