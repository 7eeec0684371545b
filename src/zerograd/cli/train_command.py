"""`zerograd train`: train a small network, watch it, keep the run."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Literal

from zerograd.cli.parser import Parser, number, path, suggesting, whole_number
from zerograd.errors import UsageError
from zerograd.training.extras import require_extra
from zerograd.training.settings import AMPS, NONFINITE, SCHEDULES, Settings
from zerograd.training.tasks import NAMES

DESCRIPTION = """\
Train a small network and keep the run in a folder: config.json, record.jsonl
(a line an epoch), checkpoints, curves.png, model.safetensors.

  zerograd train                             handwritten digits with AdamW
  zerograd train --optimizer SGD --lr 0.1    the same with another optimizer
  zerograd train --valid 0.1 --patience 5    stop when it gets no better
  zerograd train --resume runs/digits-adamw-1
                                             go on where a run was stopped
  zerograd train my_tasks.py:spirals         a task of your own
  zerograd train seed --forget-zero-grad     what zero_grad is for

Ctrl-C stops after the step at work and saves; once more leaves at once.
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd train` understands. What is not given is None, so that `--resume` sees what is."""
    parser.description = DESCRIPTION
    own = "(default: the task's)"
    task = parser.add_argument(
        "task", nargs="?", metavar="TASK", help=f"{', '.join(NAMES)}; module:name or file.py:name (default: digits)"
    )
    suggesting(task, NAMES)

    group = parser.add_argument_group("training")
    group.add_argument("--optimizer", metavar="NAME", help=f"any optimizer of zerograd {own}")
    group.add_argument("--lr", type=number, metavar="X", help="learning rate (default: the task's, or the optimizer's)")
    group.add_argument("--weight-decay", type=number, metavar="X", help="weight decay (default: as for --lr)")
    group.add_argument("--epochs", type=whole_number, metavar="N", help=f"passes over the training set {own}")
    group.add_argument("--batch-size", type=_batch_size, metavar="N", help=f"samples in a batch, or 'all' {own}")
    group.add_argument("--schedule", choices=SCHEDULES, metavar="NAME", help=f"{', '.join(SCHEDULES)} {own}")
    group.add_argument("--warmup", type=whole_number, metavar="STEPS", help="the learning rate rises so long first")
    group.add_argument("--seed", type=whole_number, metavar="N", help="decides all that is random (default: 0)")

    group = parser.add_argument_group("the step")
    group.add_argument("--clip", type=number, metavar="X", help="the largest norm of a gradient")
    group.add_argument("--accumulate", type=whole_number, metavar="N", help="batches that make one step, exactly")
    group.add_argument("--amp", choices=AMPS, metavar="TYPE", help="autocast to bf16 or fp16")
    group.add_argument("--compile", action="store_const", const=True, help="the model through torch.compile")
    group.add_argument("--state-format", metavar="NAME", help="how the optimizer's state is stored")
    group.add_argument("--weight-format", metavar="NAME", help="how the weights are stored, such as stochastic")
    group.add_argument(
        "--nonfinite",
        choices=NONFINITE,
        metavar="WHAT",
        help="a loss that is not finite: raise (stop, the default), skip the batch, or propagate (go on)",
    )

    group = parser.add_argument_group("watching")
    group.add_argument("--valid", type=number, metavar="PART", help="keep a part for validation, such as 0.1")
    group.add_argument("--metric", metavar="NAME", help="what makes an epoch the best (default: a held-out loss)")
    group.add_argument("--patience", type=whole_number, metavar="N", help="stop after N epochs without a better one")
    group.add_argument("--no-guard", action="store_const", const=True, help="don't watch the gradients")
    group.add_argument("--threads", type=whole_number, metavar="N", help=f"threads that compute {own}")
    group.add_argument(
        "--forget-zero-grad",
        action="store_const",
        const=True,
        help="with the task seed: train twice, with zero_grad and without, and show the difference",
    )

    group = parser.add_argument_group("keeping")
    group.add_argument(
        "--out", type=path, metavar="FOLDER", help="a new run folder (default: runs/TASK-NAME-1, -2, ...)"
    )
    group.add_argument("--resume", type=path, metavar="RUN", help="go on with a run, bit for bit as if never stopped")
    group.add_argument("--keep", type=whole_number, metavar="N", help="older checkpoints that stay (default: 0)")
    group.add_argument("--save-every", type=whole_number, metavar="STEPS", help="checkpoints within epochs too")

    parser.add_shared("quiet", "json")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd train`."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    resume, quiet, as_json = given.pop("resume", None), given.pop("quiet"), given.pop("json")
    if resume is not None and given:
        options = ", ".join("TASK" if name == "task" else f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(
            f"--resume goes on with a run as it was begun, so {options} can't be given. "
            "Leave it out, or begin a new run."
        )
    guarded = not given.pop("no_guard", False)
    settings = Settings(**given)
    require_extra("zerograd train")
    if settings.forget_zero_grad and (as_json or quiet):
        raise UsageError("--forget-zero-grad is a lesson to read: leave --json and --quiet out.")

    from zerograd.training.progress import output_console

    console = output_console()
    if settings.forget_zero_grad:
        from zerograd.training.lesson_report import teach_zero_grad

        teach_zero_grad(settings, console)
        return 0

    from zerograd.training.report import Outcome, train_and_keep

    outcome = Outcome()
    try:
        fine = train_and_keep(
            settings, console, resume=resume, quiet=quiet or as_json, guarded=guarded, outcome=outcome
        )
    finally:
        if as_json and outcome.known:
            _write(outcome.as_object())
    return 0 if fine else 1


def _write(found: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(found, allow_nan=False) + "\n")


def _batch_size(text: str) -> int | Literal["all"]:
    if text == "all":
        return "all"
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, nor the word 'all'") from None
