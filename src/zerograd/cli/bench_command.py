"""`zerograd bench`: the time of the update half of a training step, against torch's own optimizers."""

from __future__ import annotations

import argparse
import json
import sys

from zerograd.benchmarking.plans import FULL, PARTS, QUICK, check_parts
from zerograd.cli.parser import Parser, path, suggesting
from zerograd.training.extras import require_extra

DESCRIPTION = """\
Time the update half of a training step on this machine, against torch's own
optimizers. They take turns in one process; only the ratios count.

  zerograd bench --quick               about a minute
  zerograd bench --out results         all of it, about ten minutes, and keep
                                       the numbers (JSON) and pictures (PNG)
  zerograd bench --only step training  some parts of it
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd bench` understands."""
    parser.description = DESCRIPTION
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and nothing larger than 20 million numbers")
    only = parser.add_argument(
        "--only", nargs="+", default=[], metavar="PART", help=f"some of the parts: {', '.join(PARTS)} (default: all)"
    )
    suggesting(only, PARTS)
    parser.add_argument(
        "--out", type=path, metavar="FOLDER", help="write PART.json and PART.png there (default: nothing is written)"
    )
    parser.add_shared("quiet", "json")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd bench`."""
    parts = check_parts(arguments.only)
    require_extra("zerograd bench")

    from rich.console import Console

    from zerograd.benchmarking.suite import run_parts

    plan = QUICK if arguments.quick else FULL
    silent = arguments.quiet or arguments.json
    made = run_parts(
        parts, plan, arguments.out, console=Console(quiet=silent), progress=Console(stderr=True, quiet=arguments.quiet)
    )
    if arguments.json:
        sys.stdout.write(json.dumps(made, ensure_ascii=False, allow_nan=False) + "\n")
    return 0
