"""The entry point of `zerograd`. It imports a command only when that command is called.

Exit codes: 0 all is well, 1 something was found or failed, 2 the command was not understood, 130 Ctrl-C, 143 SIGTERM,
129 a terminal that hung up, 141 nobody reads the output any more (SIGPIPE).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from zerograd.cli.parser import Parser
from zerograd.errors import RunError, UsageError, did_you_mean

COMMANDS = {
    "train": "train a small network, watch it, keep the run, go on with it",
    "plot": "draw several runs into one picture",
    "guard": "run a training script and tell where its gradients go wrong",
    "lint": "what is wrong with zero_grad, backward and step in a program",
    "bench": "time optimizer steps on this machine, against torch's own",
    "show": "what an optimizer is: its rule, advice, costs, its kernel",
    "doctor": "what works on this machine, and why",
    "completion": "a script that has your shell complete all of this",
}

FINE, FAILED, WRONG_USAGE, BY_SIGNAL = 0, 1, 2, 128
SIGINT, SIGPIPE = 2, 13  # the module signal takes long to import, and Windows has no SIGPIPE
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC))

EXAMPLES = """\
  zerograd train              train a small network on handwritten digits
  zerograd lint train.py      read a program for mistakes
  zerograd show AdamW         what AdamW does, and what it costs"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (by default the program's own) and give back the exit code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed before the start: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - to the end
    try:
        code = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except UsageError as error:
        _tell(f"zerograd: {error}")
        return WRONG_USAGE
    except RunError as error:
        _tell(f"zerograd: {error}")
        return FAILED
    except KeyboardInterrupt as stop:
        with suppress(OSError):  # after SIGHUP there is no terminal any more
            sys.stderr.write("\n")
            _tell(f"zerograd: {str(stop) or 'stopped. What was written so far is kept.'}")
        return BY_SIGNAL + int(getattr(stop, "signal", SIGINT))
    except BrokenPipeError:  # nobody reads any more, as after `| head`: that is no error to speak of
        _drop_output()
        return BY_SIGNAL + SIGPIPE
    except OSError as error:
        if error.filename is not None or error.errno not in NO_ROOM:  # it is not about the output
            raise
        _drop_output()
        _tell(f"zerograd: Can't write the output: {error.strerror}.")
        return FAILED
    except SystemExit as request:  # argparse leaves this way after --help
        return int(request.code or FINE)


def _drop_output() -> None:
    from zerograd.files import let_go

    let_go(sys.stdout)


def _tell(text: str) -> None:
    """Say what went wrong in one line; on a terminal in lines that end between words."""
    if sys.stderr.isatty():
        import shutil
        import textwrap

        text = textwrap.fill(
            text, shutil.get_terminal_size().columns - 1, break_long_words=False, break_on_hyphens=False
        )
    sys.stderr.write(f"{text}\n")


def command_parser(name: str, parser: Parser) -> Parser:
    """Have ``parser`` understand what the command ``name`` does."""
    import_module(f"zerograd.cli.{name}_command").add_arguments(parser)
    return parser


def _dispatch(argv: list[str]) -> int:
    name = argv[0] if argv else "--help"
    if name.startswith("-"):
        return _without_command(argv)
    if name not in COMMANDS:
        raise UsageError(f"There is no command {name!r}. {did_you_mean(name, COMMANDS)}")
    parser = command_parser(name, Parser(prog=f"zerograd {name}"))
    code: int = import_module(f"zerograd.cli.{name}_command").execute(parser.read(argv[1:]))
    return code


def _without_command(argv: list[str]) -> int:
    listed = "\n".join(f"  {name:11} {summary}" for name, summary in COMMANDS.items())
    parser = Parser(
        prog="zerograd",
        usage="zerograd COMMAND [options]",
        description=f"The update half of a PyTorch training step, on the command line.\n\ncommands:\n{listed}",
        epilog=f"examples:\n{EXAMPLES}\n\nzerograd COMMAND --help tells more about a command.",
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    if parser.read(argv).version:
        from importlib.metadata import version

        sys.stdout.write(f"zerograd {version('zerograd')}\n")
        return FINE
    parser.print_help(sys.stderr)
    return WRONG_USAGE
