"""The tables of the page "Choose and tune" are what was measured, digit for digit."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from docs.markdown import ROOT


def test_the_tables_are_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "benchmarks" / "choose_and_tune.py"
    spec = importlib.util.spec_from_file_location("choose_and_tune", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "choose_and_tune", module)  # its dataclass looks for its own module
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "choose_and_tune.md").read_text(encoding="utf-8")
    assert module.rows(module.Table()) in page
