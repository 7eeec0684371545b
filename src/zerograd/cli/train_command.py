"""`zerograd train`: train a small network, watch it, keep the run."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Literal

from zerograd.cli.parser import Parser, number, whole_number
from zerograd.training.extras import require_extra
from zerograd.training.settings import Settings
from zerograd.training.tasks import NAMES

DESCRIPTION = """\
Train a small network and keep the run in a folder:
config.json, record.jsonl (a line an epoch), curves.png, model.safetensors.

  zerograd train                            handwritten digits with AdamW
  zerograd train --optimizer SGD --lr 0.1   the same with another optimizer
  zerograd train --batch-size all           every step takes all samples; 1: one
  zerograd train seed                       the smallest loop there is
  zerograd train seed --forget-zero-grad    what zero_grad is for
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd train` understands."""
    parser.description = DESCRIPTION
    own = "(default: the task's own)"
    parser.add_argument(
        "task", nargs="?", default="digits", metavar="TASK", help=f"{' or '.join(NAMES)} (default: digits)"
    )
    parser.add_argument("--optimizer", metavar="NAME", help=f"any optimizer of zerograd {own}")
    parser.add_argument(
        "--lr", type=number, metavar="X", help="learning rate (default: the task's, or the optimizer's)"
    )
    parser.add_argument("--weight-decay", type=number, metavar="X", help="weight decay (default: as for --lr)")
    parser.add_argument("--epochs", type=whole_number, metavar="N", help=f"passes over the training set {own}")
    parser.add_argument("--batch-size", type=_batch_size, metavar="N", help=f"samples in a step, or 'all' {own}")
    parser.add_argument(
        "--seed", type=whole_number, default=0, metavar="N", help="decides all that is random (default: 0)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="a new run folder (default: runs/TASK-NAME-1, -2, ...)"
    )
    parser.add_argument(
        "--forget-zero-grad",
        action="store_true",
        help="with the task seed: train twice, with zero_grad and without, and show the difference",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd train`."""
    settings = Settings(**vars(arguments))
    require_extra("zerograd train")

    from rich.console import Console

    console = Console()
    if settings.forget_zero_grad:
        from zerograd.training.lesson_report import teach_zero_grad

        teach_zero_grad(settings, console)
        return 0

    from zerograd.training.session import train_and_keep

    return 0 if train_and_keep(settings, console) else 1


def _batch_size(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, nor the word 'all'") from None
