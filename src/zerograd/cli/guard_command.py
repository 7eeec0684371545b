"""`zerograd guard`: run a program that knows nothing of zerograd, and tell where its gradients go wrong."""

from __future__ import annotations

import argparse
import atexit
import json
import os
import sys
import tempfile
import threading
from pathlib import Path

from zerograd.cli.parser import Parser, path
from zerograd.errors import UsageError, nearest

DESCRIPTION = """\
Run a training script, unchanged, and watch the gradients of every optimizer
that it makes, PyTorch's own too. What is wrong is said once for each cause:
gradients that are used twice, thrown away, or missing at a step.

  zerograd guard train.py --epochs 3       warnings, as they are found
  zerograd guard --action raise train.py   stop at the first one
  zerograd guard --report found.json train.py
  zerograd guard --json train.py           one JSON object, and the script's own
                                           output on the standard error

Some hazards are certain only at the end of the program, such as a step that is
never called: these are said then, with --action raise too, and stop nothing.

All that comes after SCRIPT.py belongs to it. The exit status is the script's.
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd guard` understands."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "--action", choices=("warn", "raise"), default="warn", help="what to do about a hazard (default: warn)"
    )
    parser.add_argument(
        "--report", type=path, metavar="FILE.json", help="write what was found as a JSON list, empty if all is well"
    )
    parser.add_shared("quiet", "json")
    parser.add_program("SCRIPT.py")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd guard`."""
    script, report = arguments.script, arguments.report
    if not os.path.isfile(script):
        near = nearest(script, map(str, Path(script).parent.glob("*.py")))
        raise UsageError(f"There is no script {script!r}." + (f" Did you mean {near!r}?" if near else ""))
    if report is not None and not report.absolute().parent.is_dir():
        raise UsageError(f"--report {report}: there is no folder {str(report.parent)!r}.")

    from zerograd.cli.program import run_as_main
    from zerograd.lifecycle.sessions import Session

    quiet = arguments.quiet or arguments.json
    action = "keep" if quiet and arguments.action == "warn" else arguments.action
    made = None
    if report is None and arguments.json:  # forks add what they have found to a file
        descriptor, made = tempfile.mkstemp(prefix="zerograd-guard-", suffix=".json")
        os.close(descriptor)
        report = Path(made)
    session = Session(action, report.absolute() if report is not None else None)
    session.begin()
    if arguments.json and report is not None:
        atexit.register(_tell, script, report.absolute(), os.getpid(), _put_aside(), made is not None)
    atexit.register(session.end)  # after the program's threads and its own last functions; before the line above
    status, session.failed = run_as_main(script, arguments.arguments)
    if threading.active_count() == 1:
        session.end()
    return status


def _put_aside() -> int:
    """Send what the script prints to the standard error; the standard output, for what the guard has to say."""
    sys.stdout.flush()
    out = os.dup(1)
    os.dup2(2, 1)
    return out


def _tell(script: str, report: Path, process: int, out: int, temporary: bool) -> None:
    if os.getpid() != process:
        return  # a fork of the script
    findings = json.loads(report.read_text("utf-8"))
    if temporary:
        report.unlink()
    with os.fdopen(out, "w", encoding="utf-8") as stream:
        stream.write(json.dumps({"script": script, "findings": findings}) + "\n")
