"""How long the linter reads programs: files of torch and of zerograd, each for itself, and a whole process.

Each file is checked again and again; the quickest time counts, which is the processor's, given for 1,000 lines.
What can't be saved stands beside it: Python's own parser for the files, Python's start for the process.
"""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

import zerograd
from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import OURS, Part, Row
from zerograd.benchmarking.turns import Timing
from zerograd.linting import Configuration, Source, check_source
from zerograd.linting.checking import seldom_collecting

PARSER, START = "ast.parse", "python -c pass"
STEPS = re.compile(r"\.step\(|optim")
CYCLE = re.compile(r"zero_grad|\.backward\(")
SHORTEST = 50
"""Files of fewer lines say little of 1,000."""
ROOTS = {"torch": Path(torch.__file__).parent, "zerograd": Path(zerograd.__file__).parent}


def measure_lint(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it."""
    part = Part("lint", "zerograd lint, files for 1,000 lines each", "microseconds")
    part.note("Median and first decile are those of the files: what has nothing of training in it is left out.")
    return part, _rows(plan)


def training_files(root: Path, most: int) -> list[Source]:
    """The files below a folder, ``most`` of them, in which a step stands and a clear or a backward."""
    texts = ((path, path.read_text(encoding="utf-8")) for path in sorted(root.rglob("*.py")))
    found = [Source(str(path), text) for path, text in texts if STEPS.search(text) and CYCLE.search(text)]
    return [source for source in found if len(source.lines) >= SHORTEST][:most]


def _rows(plan: Plan) -> Iterator[Row]:
    most = plan.budget.rounds + int(20 * plan.budget.seconds)
    configuration = Configuration()
    for name, root in ROOTS.items():
        sources = training_files(root, most)
        check_source(sources[0], configuration)  # what is imported for the first file is not counted
        with seldom_collecting():
            ours = [_quickest(lambda s=source: check_source(s, configuration), source, plan) for source in sources]  # type: ignore[misc]
            parser = [_quickest(lambda s=source: ast.parse(s.text), source, plan) for source in sources]  # type: ignore[misc]
        details = {
            "files": len(sources),
            "lines": sum(len(source.lines) for source in sources),
            "spread": {PARSER: _spread(parser), OURS: _spread(ours)},
            "slowest": os.path.relpath(sources[ours.index(max(ours))].path, root.parent),
        }
        timings = {PARSER: Timing.of(parser), OURS: Timing.of(ours)}
        yield Row(f"1,000 lines of {name}", timings, 1, plan.repetitions, details)
    yield _start_up(plan)


def _quickest(call: Callable[[], object], source: Source, plan: Plan) -> float:
    """The least time of a call, in microseconds for 1,000 lines of a file."""
    taken = []
    for _ in range(plan.repetitions):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return min(taken) * 1e9 / len(source.lines)


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "mean": statistics.fmean(ordered),
        "p90": ordered[int(0.9 * (len(ordered) - 1))],
        "p99": ordered[int(0.99 * (len(ordered) - 1))],
        "worst": ordered[-1],
    }


def _start_up(plan: Plan) -> Row:
    """Whole processes, by the clock. The first one, which compiles zerograd's files for the others, is not counted."""
    taken: dict[str, list[float]] = {START: [], OURS: []}
    with tempfile.TemporaryDirectory(prefix="zerograd-bench-") as folder:
        program = Path(folder) / "one_line.py"
        program.write_text("optimizer.step()\n", encoding="utf-8")
        commands = {START: ["-c", "pass"], OURS: ["-m", "zerograd", "lint", str(program)]}
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder, "PYTHONDONTWRITEBYTECODE": ""}
        for _ in range(plan.repetitions + 1):
            for name, command in commands.items():
                begin = time.perf_counter()
                subprocess.run([sys.executable, *command], check=True, capture_output=True, env=environment)
                taken[name].append((time.perf_counter() - begin) * 1e6)
    timings = {name: Timing.of(values[1:]) for name, values in taken.items()}
    return Row("a process for one line", timings, 1, plan.repetitions)
