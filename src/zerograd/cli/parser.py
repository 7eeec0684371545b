"""argparse, with errors that name the nearest valid option."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from zerograd.errors import UsageError, did_you_mean


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes no abbreviations and raises UsageError instead of leaving the program."""

    def __init__(self, **options: Any) -> None:
        self._known: list[str] = []
        self._flags: set[str] = set()
        self._program: str | None = None
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self._known += action.option_strings
        if action.nargs == 0:
            self._flags.update(action.option_strings)
        return action

    def add_program(self, metavar: str) -> None:
        """The first word that is no option is a script, and all that follows is for it: ``script``, ``arguments``."""
        self._program = metavar
        super().add_argument("script", metavar=metavar, help="the program to run")
        super().add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="what is handed to it")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse ``argv``; an option that doesn't exist is the first thing to be said."""
        for text in argv if self._program is None else argv[: self._own(argv)]:
            option = text.split("=")[0]
            if option.startswith("-") and option[1:2].strip("0123456789.") and option not in self._known:
                longs = [name for name in self._known if name.startswith("--")]
                raise UsageError(f"{self.prog} has no option {option!r}. {did_you_mean(option, longs)}")
        return self.parse_args(argv)

    def _own(self, argv: Sequence[str]) -> int:
        """How many words stand before the script."""
        at = 0
        while at < len(argv) and argv[at].startswith("-"):
            at += 1 if argv[at] in self._flags or "=" in argv[at] else 2
        return at

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")


def number(text: str) -> float:
    """An option's value that must be a number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def whole_number(text: str) -> int:
    """An option's value that must be a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
