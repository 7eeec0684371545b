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
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        action = super().add_argument(*names, **options)
        self._known += action.option_strings
        return action

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse ``argv``; an option that doesn't exist is the first thing to be said."""
        for text in argv:
            option = text.split("=")[0]
            if option.startswith("-") and option[1:2].strip("0123456789.") and option not in self._known:
                longs = [name for name in self._known if name.startswith("--")]
                raise UsageError(f"{self.prog} has no option {option!r}. {did_you_mean(option, longs)}")
        return self.parse_args(argv)

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
