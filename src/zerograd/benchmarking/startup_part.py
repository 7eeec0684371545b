"""What a program waits for once: the import, the first constructor and the first step, in fresh processes.

Each process first imports torch, which is not counted. zerograd runs twice: cold, with a new empty folder for what it
compiles, and warm, with the folder that the cold run has left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from zerograd.benchmarking.plans import Plan
from zerograd.benchmarking.rows import DEFAULT, FUSED, OURS, Part, Row
from zerograd.benchmarking.turns import Timing

CACHE = "ZEROGRAD_CACHE"
PHASES = ("import", "constructor", "step")

PROGRAM = """
import json, sys, time
import torch

torch.set_num_threads(1)
params = [torch.ones(shape, requires_grad=True) for shape in ((5, 10), (5,), (1, 5), (1,))]
for p in params:
    p.grad = torch.ones_like(p)
started = time.perf_counter()
{imports}
kind = optim.AdamW
imported = time.perf_counter()
optimizer = kind(params, lr=1e-3{arguments})
constructed = time.perf_counter()
optimizer.step()
stepped = time.perf_counter()
sys.stdout.write(json.dumps([imported - started, constructed - imported, stepped - constructed]))
"""

PROGRAMS = {
    DEFAULT: PROGRAM.format(imports="import torch.optim as optim", arguments=""),
    FUSED: PROGRAM.format(imports="import torch.optim as optim", arguments=", fused=True"),
    OURS: PROGRAM.format(imports="import zerograd as optim", arguments=""),
}
COLD, WARM = "cold", "warm"


def measure_startup(plan: Plan) -> tuple[Part, Iterator[Row]]:
    """The empty part, and the rows that will fill it: both come at the end, as their processes take turns."""
    part = Part("startup", "import, first constructor and first AdamW step after import torch", "seconds")
    part.note("cold: zerograd's cache folder is new and empty; warm: a process before has filled it.")
    return part, _rows(plan)


def _rows(plan: Plan) -> Iterator[Row]:
    runs: dict[tuple[str, str], list[list[float]]] = {}
    for _ in range(plan.repetitions):
        with tempfile.TemporaryDirectory(prefix="zerograd-bench-") as folder:
            for label, state in ((DEFAULT, ""), (FUSED, ""), (OURS, COLD), (OURS, WARM)):
                runs.setdefault((label, state), []).append(fresh_process(PROGRAMS[label], folder))
    for state in (COLD, WARM):
        chosen = {DEFAULT: runs[DEFAULT, ""], FUSED: runs[FUSED, ""], OURS: runs[OURS, state]}
        phases = {
            label: {phase: Timing.of([run[i] for run in taken]).median for i, phase in enumerate(PHASES)}
            for label, taken in chosen.items()
        }
        totals = {label: Timing.of([sum(run) for run in taken]) for label, taken in chosen.items()}
        yield Row(f"start-up, {state}", totals, 1, plan.repetitions, {"cache": state, "median_of_each": phases})


def fresh_process(program: str, folder: str) -> list[float]:
    """The seconds of the three phases, measured inside a new process."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, CACHE: folder},
    )
    if done.returncode:
        raise RuntimeError(f"A process that measures the start-up failed:\n{done.stderr}")
    seconds: list[float] = json.loads(done.stdout)
    return seconds
