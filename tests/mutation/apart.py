"""Judge a program and its mutants in this process: ``python -m mutation.apart PROGRAM.py`` prints it as JSON.

For programs with processes of their own. Forked from one in which torch's threads have run, these could wait for ever.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from mutation.judging import Judgement, judged

APART = {"shared_memory", "ddp"}
LIMIT = 200
"""Seconds; it takes about ten."""


def judged_anywhere(path: Path) -> Judgement:
    """Here, or in a process of its own."""
    if path.stem not in APART:
        return judged(path)
    command = [sys.executable, "-m", "mutation.apart", str(path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT, env=environment)
    assert done.returncode == 0, done.stderr
    return Judgement(**json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork")
    sys.stdout.write(json.dumps(asdict(judged(Path(sys.argv[1])))) + "\n")
