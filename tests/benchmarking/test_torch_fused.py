"""The table of what torch's fused kernels do: nothing in it is zerograd's or foreach's mistake."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
import torch

from structure.source import ROOT


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """benchmarks/torch_fused_is_wrong.py, which belongs to no package."""
    path = ROOT / "benchmarks" / "torch_fused_is_wrong.py"
    spec = importlib.util.spec_from_file_location("torch_fused_is_wrong", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_only_torchs_fused_kernels_are_ever_wrong(script: ModuleType) -> None:
    torch.manual_seed(0)
    for case in [*script.low_precision(), *script.layouts()]:
        for label, (home, options) in script.IMPLEMENTATIONS.items():
            if label != "torch fused":
                assert not script.is_wrong(script.result_of(case, home, options), case), f"{label}: {case.name}"


def test_what_is_ordinary_is_right_everywhere(script: ModuleType) -> None:
    torch.manual_seed(0)
    ordinary = [case for case in script.layouts() if case.name in ("p and g contiguous", "p and g transposed")]
    assert len(ordinary) == 4
    for case in ordinary:
        for home, options in script.IMPLEMENTATIONS.values():
            assert not script.is_wrong(script.result_of(case, home, options), case)


def test_the_reference_is_independent_of_the_layout(script: ModuleType) -> None:
    p, g = torch.randn(4, 6).t(), torch.randn(6, 4)
    turned = script.Case("", p, g, script.ADAMW)
    plain = script.Case("", p.contiguous(), g, script.ADAMW)
    assert torch.equal(script.expected(turned), script.expected(plain))


def test_it_prints_its_tables(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    script.main()
    shown = capsys.readouterr().out
    assert torch.__version__ in shown
    assert "16 bits" in shown
    assert "layouts" in shown
