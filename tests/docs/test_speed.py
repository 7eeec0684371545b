"""The table of speeds in both READMEs says what ``make bench`` has measured, digit for digit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs.markdown import README, README_ZH, ROOT

ROWS = [
    ("step", "seed, SGD"),
    ("step", "seed, AdamW"),
    ("step", "1000 tensors of 64, AdamW"),
    ("step", "MLP of 200k, AdamW"),
    ("step", "148 GPT-2-shaped tensors, 20M, AdamW"),
    ("step", "148 GPT-2-shaped tensors, 20M, AdamW, bfloat16"),
    ("step", "one tensor of 50M, AdamW"),
    ("update_half", "seed"),
    ("update_half", "148 GPT-2-shaped tensors, 20M"),
    ("update_half", "one tensor of 50M"),
    ("training", "digits MLP, 17k"),
    ("training", "transformer on letters, 1.0M"),
    ("startup", "start-up, warm"),
]


def measured(part: str, workload: str) -> list[str]:
    content = json.loads((ROOT / "benchmarks" / "results" / f"{part}.json").read_text(encoding="utf-8"))
    (row,) = [row for row in content["rows"] if row["workload"] == workload]
    return [f"{row['ratios'][name]['median']:.2f}" for name in ("torch default", "torch fused")]


@pytest.mark.parametrize("page", [README, README_ZH], ids=lambda page: page.name)
def test_the_table_is_what_was_measured(page: Path) -> None:
    shown = re.findall(r"^\|.*\| (\d+\.\d\d) \| (\d+\.\d\d) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [list(cells) for cells in shown] == [measured(*row) for row in ROWS]


def test_the_speed_of_the_linter_is_what_was_measured() -> None:
    content = json.loads((ROOT / "benchmarks" / "results" / "lint.json").read_text(encoding="utf-8"))
    torch, _, process = content["rows"]
    files, start = torch["times"], process["times"]
    spread = torch["spread"]["zerograd"]
    told = [files["zerograd"]["median"], spread["p90"], spread["worst"], files["ast.parse"]["median"]]
    words = [f"the {torch['files']} in", *(f"{time / 1e3:.1f} ms" for time in told)]
    words += [f"{start[name]['median'] / 1e3:.0f} ms" for name in ("zerograd", "python -c pass")]
    page = " ".join((ROOT / "docs" / "lint.md").read_text(encoding="utf-8").split())
    shown = re.findall(r"the \d+ in|\d+(?:\.\d)? ms", page)
    assert shown == words


@pytest.mark.parametrize("page", ["README.md", "README.zh.md", "docs/life_of_a_gradient.md"])
def test_the_cost_of_the_guard_is_what_was_measured(page: str) -> None:
    content = json.loads((ROOT / "benchmarks" / "results" / "guard.json").read_text(encoding="utf-8"))
    ratios = {row["workload"]: row["ratios"]["not guarded"] for row in content["rows"]}
    digits, layer = ratios["digits MLP"], ratios["one linear layer"]
    told = [digits["median"], digits["p10"], layer["median"]] if "life" in page else [digits["median"], layer["median"]]
    words = [f"{100 * (1 / ratio - 1):.1f} %" for ratio in told]
    assert re.findall(r"\d\.\d %", (ROOT / page).read_text(encoding="utf-8")) == words


def test_the_table_of_formats_is_what_was_measured_on_both_machines() -> None:
    """torch's fused step over ours with states in float32 and in 8 bits: first decile and median."""
    models = ("148 GPT-2-shaped tensors, 20M", "one tensor of 50M", "1000 tensors of 64")
    wanted: dict[tuple[str, str], list[str]] = {}
    for folder in ("", "avx2"):
        path = ROOT / "benchmarks" / "results" / folder / "step.json"
        rows = {row["workload"]: row["times"] for row in json.loads(path.read_text(encoding="utf-8"))["rows"]}
        for model in models:
            times = rows[f"{model}, AdamW"]
            for states, name in (("float32", "zerograd"), ('`"int8"`', "zerograd int8")):
                figures = [f"{times['torch fused'][at] / times[name][at]:.2f}" for at in ("p10", "median")]
                wanted.setdefault((model, states), []).append(", ".join(figures))
    page = (
        (ROOT / "docs" / "formats.md").read_text(encoding="utf-8").replace("1,000 tensors of 64", "1000 tensors of 64")
    )
    shown = re.findall(r"^\| ([^|(]+?)(?: \([^|]*\))? \| (\S+) \| ([\d., ]+) \| ([\d., ]+) \|$", page, re.MULTILINE)
    assert len(shown) == 5
    assert {(model, states): figures for model, states, *figures in shown} == {
        key: figures for key, figures in wanted.items() if key != ("1000 tensors of 64", "float32")
    }
