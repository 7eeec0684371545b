"""`zerograd bench` from the outside: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import zerograd
from zerograd.benchmarking.plans import PARTS, Plan
from zerograd.cli import bench_command
from zerograd.cli.main import main

PNG = b"\x89PNG\r\n\x1a\n"
SOME_ROW = {
    "guard": "digits MLP",
    "windows": "digits MLP",
    "lint": "1,000 lines of torch",
    "step": "seed, AdamW",
    "update_half": "seed",
    "training": "digits MLP, 17k",
    "startup": "start-up, warm",
    "checks": "AdamW, the whole step",
}
"""A row that each part has in a tiny run too."""


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tiny_plan: Plan, no_processes: object) -> None:  # noqa: ARG001
    monkeypatch.setattr(bench_command, "QUICK", tiny_plan)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:  # noqa: ARG001 - what is said is kept
    """The folder of a run of everything."""
    assert main(["bench", "--quick", "--out", str(tmp_path / "deep" / "results")]) == 0
    return tmp_path / "deep" / "results"


def test_every_part_is_shown_and_written(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = capsys.readouterr()
    assert sorted(f.name for f in written.iterdir()) == sorted(f"{p}.{end}" for p in PARTS for end in ("json", "png"))
    for part in PARTS:
        assert SOME_ROW[part] in told.out
        assert f"measured: {part}, " in told.err
        assert (written / f"{part}.png").read_bytes().startswith(PNG)
        _check(json.loads((written / f"{part}.json").read_text(encoding="utf-8")), part)
    assert "DeepSpeedCPUAdam" in told.out


def _check(content: dict[str, Any], part: str) -> None:
    assert content["part"] == part
    assert content["unit"] == ("seconds" if part == "startup" else "microseconds")
    machine = content["machine"]
    assert machine["torch"] == torch.__version__
    assert machine["zerograd"] == zerograd.__version__
    assert {"processor", "cores", "threads", "date", "load_before", "load_after"} <= machine.keys()
    assert SOME_ROW[part] in [row["workload"] for row in content["rows"]]
    for row in content["rows"]:
        times = row["times"]
        if part in ("guard", "windows", "lint"):  # no two optimizers are compared
            assert len(times) >= 2
            continue
        whole = part != "checks" or "whole step" in row["workload"]  # torch has no counterpart to a part of a step
        assert ({"torch default", "torch fused", "zerograd"} if whole else {"zerograd"}) <= times.keys()
        assert row["ratios"].keys() == times.keys() - {"zerograd"}
        for name, ratio in row["ratios"].items():
            for quantile in ("median", "p10"):
                assert math.isclose(ratio[quantile], times[name][quantile] / times["zerograd"][quantile])
        assert all(0 < time["p10"] <= time["median"] for time in times.values())
        assert row["rounds"] >= 2
        assert row["threads"] == 1


def test_some_parts_only_and_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--quick", "--only", "startup", "update_half"]) == 0
    told = capsys.readouterr()
    assert "start-up, cold" in told.out
    assert "clipping" in told.out
    assert "one step()" not in told.out
    assert "Saved" not in told.out
    assert list(tmp_path.iterdir()) == []


def test_without_quick_the_plan_is_the_full_one(
    monkeypatch: pytest.MonkeyPatch, tiny_plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_command, "FULL", tiny_plan)
    monkeypatch.delattr(bench_command, "QUICK")
    assert main(["bench", "--only", "startup"]) == 0
    assert "start-up, cold" in capsys.readouterr().out


def test_results_of_a_run_before_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "startup.json").write_text("old")
    assert main(["bench", "--quick", "--only", "startup", "--out", str(tmp_path)]) == 0
    assert json.loads((tmp_path / "startup.json").read_text(encoding="utf-8"))["part"] == "startup"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["startup.json", "startup.png"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--only stpe", "There is no part 'stpe'. Did you mean 'step'?"),
        ("--only", "--only needs a value behind it."),
        ("--quik", "zerograd bench has no option '--quik'. Did you mean '--quick'?"),
        ("--out file", "Can't write results to file: it is a file."),
        ("--out file/inside", "Can't write results to file"),
    ],
)
def test_wrong_values_are_told_in_one_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["bench", "--quick", *options.split()]) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"zerograd: {words}")
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_help_and_a_wrong_part_load_no_heavy_package() -> None:
    code = """
import sys
from zerograd.cli.main import main
for argv in (["bench", "--help"], ["bench", "--only", "stpe"]):
    main(argv)
heavy = {"torch", "numpy", "numba", "rich", "matplotlib", "sklearn", "safetensors"} & sys.modules.keys()
sys.exit(f"loaded {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
