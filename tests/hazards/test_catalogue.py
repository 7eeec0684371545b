"""The catalogue: one code, one name, one file, whole entries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zerograd.hazards
from zerograd.hazards import NAMES, find


@pytest.mark.parametrize("code", NAMES)
def test_an_entry_is_whole(code: str) -> None:
    entry = find(code)
    assert (entry.code, entry.name) == (code, NAMES[code])
    assert find(entry.name) is entry
    for text in (entry.what, entry.why, entry.example, entry.instead):
        assert text.strip()
    ast.parse(entry.example)
    ast.parse(entry.instead)
    assert entry.example != entry.instead
    headings = [line for line in entry.page().splitlines() if line.startswith("#")]
    assert headings == [f"# {code} {entry.name}", "## What it does", "## Why it is bad", "## Example", "## Use instead"]


def test_every_file_is_in_the_list_of_codes() -> None:
    stems = {path.stem for path in Path(zerograd.hazards.__file__).parent.glob("zg*.py")}
    assert stems == {f"{code}_{name}".lower().replace("-", "_") for code, name in NAMES.items()}


def test_what_is_no_code_and_no_name_is_not_found() -> None:
    with pytest.raises(KeyError):
        find("ZG1O1")
