"""A program that has loaded everything, and runs each command line that it reads in a process of its own.

So a test can kill many runs, and each of them starts at once. It answers with the process's number and, after an
empty line, with its exit code.
"""

from __future__ import annotations

import json
import os
import sys

import matplotlib.backends.backend_agg  # noqa: F401
import safetensors.torch  # noqa: F401

import zerograd.training.plots
import zerograd.training.report  # noqa: F401
from zerograd.cli.main import main


def run(argv: list[str]) -> None:
    """The command, its words in the file ``said``."""
    sys.stdout = sys.stderr = open("said", "a")
    code = 1
    try:
        code = main(argv)
    finally:
        sys.stdout.flush()
        os._exit(code)


os.chdir(sys.argv[1])
for line in iter(sys.stdin.readline, ""):
    process = os.fork()
    if process == 0:
        run(json.loads(line))
    print(process, flush=True)
    sys.stdin.readline()  # until then its number stays its own, even if it has ended
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), flush=True)
