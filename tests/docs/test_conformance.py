"""The page of differences from torch.optim: measured anew, it has the same rows and verdicts, and all are small."""

from __future__ import annotations

import inspect
import re
import runpy
from typing import Any

import pytest
import torch

from docs.markdown import ROOT
from engine.common import SHARED

TOOL: dict[str, Any] = runpy.run_path(str(ROOT / "tools" / "make_conformance.py"))
PAGE = ROOT / "docs" / "conformance.md"

LIMITS = {"float64": 1e-6, "bfloat16": 0.3, "float16": 0.1}
"""Per column. float64: NAdam's product is a float32 state, which torch multiplies in float32. 16 bits: torch rounds
after every operation, to 2^-8 or 2^-11 of weights that RMSprop moves up to 8, in six steps. All others are float32: a
hundred of its roundings, for RMSprop's centered difference and the roots of its small values."""
FLOAT32 = 1e-5
TORCHS_MISTAKE = ("Muon", "`nesterov=False`", "bfloat16")
"""torch divides the momentum itself by its norm there; see tests/matrix/test_against_torch.py."""
CLASSES = [*SHARED, "SparseAdam", "Adafactor", "Muon"]


@pytest.fixture(scope="module")
def measured() -> str:
    """The page as it would be written now."""
    return str(TOOL["page"]())


def cells(page: str) -> list[tuple[str, str, str, str]]:
    """(class, flags, column, cell) of all tables."""
    found = []
    name, columns = "", list[str]()
    for line in page.splitlines():
        parts = [part.strip() for part in line.strip("|").split("|")]
        if line.startswith("## "):
            name, columns = line[3:], []
        elif line.startswith("|") and not columns:
            columns = parts[1:]
        elif line.startswith("|") and not line.startswith("| ---"):
            found += [(name, parts[0], column, cell) for column, cell in zip(columns, parts[1:], strict=True)]
    return found


def test_the_page_says_what_is_measured(measured: str) -> None:
    written = PAGE.read_text(encoding="utf-8")
    version = torch.__version__.partition("+")[0]
    if f"PyTorch {version}," not in written:
        pytest.skip(f"the page was written with another PyTorch than {version}, whose refusals may differ")
    assert TOOL["structure"](written) == TOOL["structure"](measured), "run `make conformance`"


def test_all_differences_are_small(measured: str) -> None:
    for name, flags, column, cell in cells(measured):
        if TOOL["NUMBER"].fullmatch(f"{cell}") or re.match(r"\d", cell):
            limit = LIMITS.get(column, FLOAT32)
            assert (name, flags, column) == TORCHS_MISTAKE or float(cell) <= limit, f"{name}, {flags}, {column}: {cell}"
        else:
            assert cell.startswith(("refused, as torch: `", "works; torch: `")), f"{name}, {flags}, {column}: {cell}"


def test_the_page_has_every_class_and_every_flag(measured: str) -> None:
    rows = {(name, flags) for name, flags, *_ in cells(measured)}
    assert {name for name, _ in rows} == {*CLASSES, "LBFGS"}
    needless = {"foreach", "fused", "differentiable"}  # torch's choice of an implementation, and no tensors of leaves
    for name in CLASSES:
        arguments = inspect.signature(getattr(torch.optim, name)).parameters.values()
        switches = {one.name for one in arguments if isinstance(one.default, bool)} - needless
        for switch in switches:
            assert any(name == other and f"{switch}=True" in flags for other, flags in rows), f"{name}: {switch}"


def test_digits_may_differ_and_nothing_else() -> None:
    structure = TOOL["structure"]
    written = PAGE.read_text(encoding="utf-8")
    assert structure(TOOL["NUMBER"].sub("7e-07", written)) == structure(written)
    for old, new in (("| refused, as torch: `RuntimeError` |", "| 1e-07 |"), ("| `maximize=True` |", "| `x` |")):
        assert old in written
        assert structure(written.replace(old, new, 1)) != structure(written)
