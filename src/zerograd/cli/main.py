"""The entry point of `zerograd`. It imports a command only when that command is called."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from zerograd.cli.parser import Parser
from zerograd.errors import UsageError, did_you_mean

COMMANDS = {
    "train": "train a small network, watch it, keep the run",
    "guard": "run a training script and tell where its gradients go wrong",
    "bench": "time optimizer steps on this machine, against torch's own",
    "show": "what an optimizer is: its rule, advice, costs, its kernel",
    "doctor": "what works on this machine, and why",
    "lint": "what is wrong with zero_grad, backward and step in a program",
}

FINE, WRONG_USAGE, INTERRUPTED = 0, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (by default the program's own) and give back the exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except UsageError as error:
        sys.stderr.write(f"zerograd: {error}\n")
        return WRONG_USAGE
    except KeyboardInterrupt:
        sys.stderr.write("\nzerograd: stopped. What was written so far is kept.\n")
        return INTERRUPTED
    except SystemExit as request:  # argparse leaves this way after --help
        return int(request.code or FINE)


def _dispatch(argv: list[str]) -> int:
    name = argv[0] if argv else "--help"
    if name.startswith("-"):
        return _without_command(argv)
    if name not in COMMANDS:
        raise UsageError(f"There is no command {name!r}. {did_you_mean(name, COMMANDS)}")
    command = import_module(f"zerograd.cli.{name}_command")
    parser = Parser(prog=f"zerograd {name}")
    command.add_arguments(parser)
    code: int = command.execute(parser.read(argv[1:]))
    return code


def _without_command(argv: list[str]) -> int:
    listed = "\n".join(f"  {name:10} {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="zerograd",
        usage="zerograd COMMAND [options]",
        description="The update half of a PyTorch training step, on the command line.",
        epilog=f"commands:\n{listed}\n\nzerograd COMMAND --help tells more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    if parser.read(argv).version:
        from importlib.metadata import version

        sys.stdout.write(f"zerograd {version('zerograd')}\n")
        return FINE
    parser.print_help(sys.stderr)
    return WRONG_USAGE
