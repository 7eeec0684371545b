"""Law: a step gives what the reference's for-loop gives from the same state. float64, over all flags."""

from __future__ import annotations

import pytest

from laws.lockstep import Pair, relative, worst
from laws.table import Config, Row, cases, label

# Both sides compute in float64 but in another order: a few hundred roundings of 1e-16, and conditions up to 10.
TOLERANCE = 1e-12
# The same over 24 steps on their own, where differences of one step enter the next.
FREE_TOLERANCE = 1e-9


pytestmark = pytest.mark.usefixtures("double")


def compare_in_lockstep(pair: Pair, steps: int = 13) -> tuple[float, str]:
    """The worst relative difference after any of the steps, each from the reference's state."""
    found = (0.0, "")
    for step in range(steps):
        if step in (6, 10):
            pair.scale_lr(0.5)
        pair.transplant()
        pair.step()
        found = max(found, worst(pair, relative))
        if not found[0] <= TOLERANCE:
            break
    return found


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("case", list(cases()), ids=label)
def test_each_step_equals_the_reference(case: tuple[Row, Config], maximize: bool) -> None:
    difference, where = compare_in_lockstep(Pair(*case, maximize=maximize))
    assert difference <= TOLERANCE, where


@pytest.mark.parametrize("case", list(cases()), ids=label)
def test_a_free_run_stays_with_the_reference(case: tuple[Row, Config]) -> None:
    pair = Pair(*case)
    for step in range(24):
        if step in (12, 18):
            pair.scale_lr(0.5)
        pair.step()
    difference, where = worst(pair, relative)
    assert difference <= FREE_TOLERANCE, where
