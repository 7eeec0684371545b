"""What the pages of fixtures say is what the linter says, line by line."""

from __future__ import annotations

import pytest

from linting.fixtures import Program, programs, told
from zerograd.linting import configuration
from zerograd.linting.rules import CODES


@pytest.mark.parametrize("program", programs(), ids=str)
def test_a_program_is_flagged_where_it_is_marked_and_nowhere_else(program: Program) -> None:
    assert told(program.unmarked) == program.marked


def test_titles_are_told_apart() -> None:
    titles = [str(program) for program in programs()]
    assert len(titles) == len(set(titles))


@pytest.mark.parametrize("code", CODES)
def test_every_rule_has_wrong_programs_and_right_ones(code: str) -> None:
    marked = [program for program in programs() if code in {c for _, c in program.marked}]
    assert len(marked) >= 3
    assert sum(not program.marked for program in programs()) >= 60


def test_the_codes_that_can_be_selected_are_those_of_the_rules() -> None:
    assert configuration.CODES == CODES
