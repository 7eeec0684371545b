"""`zerograd plot`: several runs in one picture."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from zerograd.cli.parser import Parser, path
from zerograd.errors import UsageError, did_you_mean

DESCRIPTION = """\
Draw the records of several runs into one picture, a panel for each number.

  zerograd plot runs/digits-adamw-1 runs/digits-lion-1
  zerograd plot runs/* --metric test_accuracy grad_norm --out compared.svg

A run that is still being trained may be drawn too.
"""

SUFFIXES = (".png", ".svg", ".pdf")


def add_arguments(parser: Parser) -> None:
    """What `zerograd plot` understands."""
    parser.description = DESCRIPTION
    parser.add_argument("runs", nargs="+", type=path, metavar="RUN", help="the folders of runs")
    parser.add_argument(
        "--metric",
        nargs="+",
        metavar="NAME",
        help="numbers of the record, such as test_loss (default: train_loss, and a held-out accuracy or loss)",
    )
    parser.add_argument(
        "--out", type=path, default=Path("runs.png"), metavar="FILE", help=f"{', '.join(SUFFIXES)} (default: runs.png)"
    )
    parser.add_shared("quiet", "json")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd plot`."""
    out: Path = arguments.out
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"--out {out}: a picture's name ends in {', '.join(SUFFIXES)}. {did_you_mean(out.suffix, SUFFIXES)}"
        )
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {str(out.parent)!r}.")

    from zerograd.training.comparison import compare

    numbers = compare(arguments.runs, arguments.metric, out)
    if arguments.json:
        sys.stdout.write(
            json.dumps({"out": str(out), "runs": [str(run) for run in arguments.runs], "metric": numbers}) + "\n"
        )
    elif not arguments.quiet:
        count = len(arguments.runs)
        sys.stdout.write(f"Saved in {out}: {', '.join(numbers)} of {count} run{'s' if count > 1 else ''}\n")
    return 0
