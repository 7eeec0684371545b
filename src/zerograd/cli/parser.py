"""argparse, with errors in our words that name the nearest valid option or value; options that commands share."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from zerograd.errors import UsageError, did_you_mean
from zerograd.stand_ins import Any, NoReturn

NEGATIVE = re.compile(r"^-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$|^-(inf|nan)$", re.IGNORECASE)
"""Words that are numbers and not options: argparse itself takes -1 for one, but not -1e-3."""

SHARED: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "json": (("--json",), {"action": "store_true", "help": "print one JSON object, for programs, and nothing else"}),
    "quiet": (("-q", "--quiet"), {"action": "store_true", "help": "print nothing but errors"}),
}


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that takes no abbreviations and raises UsageError instead of leaving the program."""

    def __init__(self, **options: Any) -> None:
        self._program: str | None = None
        options.setdefault("formatter_class", _Formatter)
        super().__init__(allow_abbrev=False, **options)
        self._negative_number_matcher = NEGATIVE
        self._positionals.title = "arguments"

    def add_program(self, metavar: str) -> None:
        """The first word that is no option is a script, and all that follows is for it: ``script``, ``arguments``."""
        self._program = metavar
        super().add_argument("script", metavar=metavar, help="the program to run")
        rest = super().add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="what is handed to it")
        rest.required = False  # argparse would miss it beside the script

    def add_shared(self, *names: str) -> None:
        """Options that several commands have, in the same words: "json", "quiet"."""
        for name in names:
            flags, options = SHARED[name]
            self.add_argument(*flags, **options)

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parse ``argv``; an option that doesn't exist is the first thing to be said."""
        known = self._option_string_actions
        for text in argv if self._program is None else argv[: self._own(argv)]:
            if text == "--":
                break
            option = text.split("=")[0]
            if option.startswith("-") and option != "-" and not NEGATIVE.match(text) and option not in known:
                longs = [name for name in known if name.startswith("--")]
                raise UsageError(f"{self.prog} has no option {option!r}. {did_you_mean(option, longs)}")
        return self.parse_args(argv)

    def _own(self, argv: Sequence[str]) -> int:
        """How many words stand before the script."""
        at = 0
        while at < len(argv) and argv[at].startswith("-"):
            action = self._option_string_actions.get(argv[at])
            at += 1 if action is None or action.nargs == 0 or "=" in argv[at] else 2
        return at

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            names = [str(choice) for choice in action.choices]
            name = action.option_strings[-1] if action.option_strings else action.metavar
            raise UsageError(f"{name} knows no {value!r}. {did_you_mean(str(value), names)}")

    def error(self, message: str) -> NoReturn:
        option = re.match(r"argument (?:\S+/)?(\S+): expected (?:at least )?one argument", message)
        if option:
            message = f"{option[1]} needs a value behind it"
        elif message.startswith("unrecognized arguments: "):
            words = message.partition(": ")[2]
            message = f"there is nothing to do with {words!r}"
        elif message.startswith("the following arguments are required: "):
            message = f"{message.partition(': ')[2]} is missing"
        else:
            message = re.sub(r"^argument (?:\S+/)?(\S+): ", r"\1: ", message)
        raise UsageError(f"{message[:1].upper()}{message[1:]}. See {self.prog} --help.")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Options in one column, what they do in the next; never wider than is good to read."""

    def __init__(self, prog: str, **options: Any) -> None:
        options.setdefault("width", min(_columns() - 2, 98))
        super().__init__(prog, max_help_position=26, **options)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """As it was written; on a narrow terminal in lines that end between words, what a command does below it."""
        if max(map(len, text.splitlines()), default=0) <= width:
            return super()._fill_text(text, width, indent)
        import textwrap

        below = " " * 6
        shown: list[str] = []
        for line in re.sub(r"(?<!\n)\n(?=[^ \n])", " ", text).split("\n"):  # a paragraph becomes one line
            if not line.startswith("  "):
                shown += textwrap.wrap(line, width) or [""]
                continue
            goes_on = line.startswith(" " * 10)  # it says more of the command above
            words = re.split(r" {2,}", line.strip(), maxsplit=1)
            command, meaning = ("", line.strip()) if goes_on else (words[0], "".join(words[1:]))
            shown += textwrap.wrap(command, width, initial_indent="  ", subsequent_indent=below)
            shown += textwrap.wrap(meaning, width, initial_indent=below, subsequent_indent=below)
        return "\n".join(shown)

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        """In one line: the options stand below, each with what it does."""
        if usage is None:
            words = [
                f"[{a.metavar}]" if a.nargs in ("?", "*") else str(a.metavar) for a in actions if not a.option_strings
            ]
            usage = " ".join(["%(prog)s", *words, "[options]"])
        return super()._format_usage(usage, actions, groups, prefix)


def _columns() -> int:
    """How wide the terminal is, as ``shutil`` finds it: argparse asks for each option, and importing it takes long."""
    try:
        columns = int(os.environ.get("COLUMNS", 0))
        return columns if columns > 0 else os.get_terminal_size(sys.__stdout__.fileno()).columns or 80  # type: ignore[union-attr]
    except (ValueError, OSError, AttributeError):
        return 80


def suggesting(action: argparse.Action, names: Iterable[str]) -> argparse.Action:
    """Have a shell complete these names, although other values are taken too."""
    action.suggested = tuple(names)  # type: ignore[attr-defined]
    return action


def path(text: str) -> Path:
    """An option's value that must be the name of a file or folder."""
    if not text:
        raise argparse.ArgumentTypeError("a name is missing: it is empty")
    return Path(text)


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
