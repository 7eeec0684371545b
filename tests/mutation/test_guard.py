"""Right programs never cause a sound; wrong ones made from them are named, unless they end with the same weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutation.apart import judged_anywhere
from mutation.missed import MISSED
from mutation.operators import mutants
from mutation.running import PROGRAMS, run


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_a_right_program_is_left_in_peace_and_its_mutants_are_errors_or_equivalent_or_named(path: Path) -> None:
    """The right one's weights are the same bit for bit as without the guard. Equivalent: equal weights, bit for bit.
    What is missed stands in a table with the reason."""
    found = judged_anywhere(path)
    assert found.error is None
    assert found.said == []
    assert not found.disturbed
    assert not found.noisy, "said of programs that learn the same"
    assert not found.strange
    assert set(found.missed) == set(MISSED.get(path.stem, {}))
    assert found.named or path.stem in ("functional", "shared_memory")  # there gradients are assigned by hand


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
