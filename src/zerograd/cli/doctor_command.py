"""`zerograd doctor`: what works on this machine, and why."""

from __future__ import annotations

import argparse
import json

from zerograd.cli.parser import Parser

DESCRIPTION = """\
Try every backend with two steps on a small tensor, and say what works here
and why: versions, processor, threads, compiled kernels, their cache, devices.

The exit status is 0 if all works that should, 1 if something does not.
"""

HEALTHY, ILL = 0, 1


def add_arguments(parser: Parser) -> None:
    """What `zerograd doctor` understands."""
    parser.description = DESCRIPTION
    parser.add_shared("quiet", "json")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd doctor`."""
    from zerograd.benchmarking.facts import processor_name
    from zerograd.describing.diagnosis import diagnosed
    from zerograd.describing.health import examined
    from zerograd.describing.screen import write, write_plainly

    found = examined(processor_name())
    if arguments.json:
        write_plainly(json.dumps(found.as_object(), indent=2) + "\n")
    elif not arguments.quiet:
        write(diagnosed(found))
    return HEALTHY if found.ok else ILL
