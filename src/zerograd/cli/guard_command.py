"""`zerograd guard`: run a program that knows nothing of zerograd, and tell where its gradients go wrong."""

from __future__ import annotations

import argparse
import atexit
import os
import threading
from pathlib import Path

from zerograd.cli.parser import Parser
from zerograd.errors import UsageError

DESCRIPTION = """\
Run a training script, unchanged, and watch the gradients of every optimizer
that it makes, PyTorch's own too. What is wrong is said once for each cause:
gradients that are used twice, thrown away, or missing at a step.

  zerograd guard train.py --epochs 3       warnings, as they are found
  zerograd guard --action raise train.py   stop at the first one
  zerograd guard --report found.json train.py

All that comes after SCRIPT.py belongs to it. The exit status is the script's.
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd guard` understands."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--action", choices=("warn", "raise"), default="warn", help="what to do about a hazard (default: warn)"
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE.json", help="write what was found as a JSON list, empty if all is well"
    )
    parser.add_program("SCRIPT.py")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd guard`."""
    script, report = arguments.script, arguments.report
    if not os.path.isfile(script):
        raise UsageError(f"There is no script {script!r}.")
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: there is no folder {str(report.parent)!r}.")

    from zerograd.cli.program import run_as_main
    from zerograd.lifecycle.sessions import Session

    session = Session(arguments.action, report.absolute() if report is not None else None)
    session.begin()
    atexit.register(session.end)  # after the program's threads and its own last functions
    status, session.failed = run_as_main(script, arguments.arguments)
    if threading.active_count() == 1:
        session.end()
    return status
