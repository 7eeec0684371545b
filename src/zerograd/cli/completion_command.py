"""`zerograd completion`: a script that has a shell complete commands, options and names."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from zerograd.cli.main import COMMANDS, command_parser
from zerograd.cli.parser import Parser
from zerograd.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
FILES, FOLDERS = ("FILE", "PATH", "FILE.json", "SCRIPT.py"), ("FOLDER", "RUN")
"""What options call the paths that they take."""

DESCRIPTION = """\
Print a script that has your shell complete commands, options and names. In
bash, once: eval "$(zerograd completion bash)". To keep it, write it to

  bash  ~/.local/share/bash-completion/completions/zerograd
  zsh   ~/.zfunc/_zerograd, and say fpath+=~/.zfunc before compinit
  fish  ~/.config/fish/completions/zerograd.fish

It is made by the package shtab: pip install 'zerograd[completion]'
"""


def add_arguments(parser: Parser) -> None:
    """What `zerograd completion` understands."""
    parser.description = DESCRIPTION
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd completion`."""
    if find_spec("shtab") is None:
        raise UsageError("zerograd completion needs shtab: pip install 'zerograd[completion]'")
    shtab: Any = import_module("shtab")
    sys.stdout.write(shtab.complete(_whole_parser(shtab), arguments.shell) + "\n")
    return 0


def _whole_parser(shtab: Any) -> Parser:
    """All commands in one parser, with the names that a shell can offer as choices."""
    from zerograd import optim

    whole = Parser(prog="zerograd")
    whole.add_argument("--version", action="store_true", help="show the version and exit")
    commands: Any = whole.add_subparsers(dest="command")
    for name, summary in COMMANDS.items():
        for action in command_parser(name, commands.add_parser(name, help=summary))._actions:
            if "--optimizer" in action.option_strings or (name == "show" and action.dest == "name"):
                action.choices = [kind for kind in optim.__all__ if kind != "Optimizer"]
            elif hasattr(action, "suggested"):
                action.choices = action.suggested
            elif action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return whole
