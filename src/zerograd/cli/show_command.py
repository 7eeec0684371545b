"""`zerograd show`: a rule's box, the advice, what a step costs, and the kernel that it becomes."""

from __future__ import annotations

import argparse
import json

from zerograd.cli.parser import Parser
from zerograd.errors import UsageError

DTYPES = ("fp32", "bf16", "fp16", "fp64")

DESCRIPTION = """\
Show what an optimizer is: the function that it is made from, advice, what a
step costs, and the kernel that it becomes on this machine. No step is taken.

  zerograd show AdamW                 all of it
  zerograd show Lion --no-kernel      without the kernel
  zerograd show SGD --dtype bf16      the kernel for bfloat16
  zerograd show my_rules:my_rule      a rule or class of your own; its module
                                      is imported, from the current folder too
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd show` understands."""
    parser.description = DESCRIPTION
    parser.add_argument("name", metavar="NAME", help="an optimizer of zerograd, or module:name")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="fp32", help="the format of weights, gradients and state (default: fp32)"
    )
    parser.add_argument("--no-kernel", action="store_true", help="leave the kernel out")
    parser.add_argument("--assembly", action="store_true", help="the kernel in this machine's own language too")
    parser.add_shared("quiet", "json")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd show`."""
    if arguments.no_kernel and arguments.assembly:
        raise UsageError("--assembly shows the kernel and --no-kernel leaves it out: choose one of them.")

    from zerograd.describing.pages import rule_page
    from zerograd.describing.screen import write, write_plainly

    parts = rule_page(arguments.name, arguments.dtype, kernel=not arguments.no_kernel, assembly=arguments.assembly)
    if arguments.json:
        told = [{"heading": part.heading, "text": part.text, "language": part.language or None} for part in parts]
        write_plainly(json.dumps({"name": arguments.name, "parts": told}) + "\n")
    elif not arguments.quiet:
        write(parts)
    return 0
