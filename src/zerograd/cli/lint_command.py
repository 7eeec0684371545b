"""`zerograd lint`: read training programs and tell what is wrong with the order of zero_grad, backward and step."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from zerograd.cli.parser import Parser
from zerograd.errors import UsageError, nearest
from zerograd.linting.configuration import Configuration, configured, files_of, no_such_file
from zerograd.linting.finding import Finding
from zerograd.linting.reading import Source, UnreadableError, decoded, read_source, source_of

DESCRIPTION = """\
Read training programs and tell what is wrong with the order and the place of
zero_grad, backward and step. Nothing is run, and nothing is imported.

  zerograd lint                          all files of this folder
  zerograd lint train.py notebook.ipynb  some files; - is the standard input
  zerograd lint --explain train.py:41    what was understood of a loop
  zerograd lint --explain book.ipynb:3:2 the same in the third cell, line 2
  zerograd lint --rule ZG103             what a rule is about

The exit status is 0 if nothing was found but advice (info), 1 if there are
errors or warnings, 2 if the command was not understood.
"""

CLEAN, FOUND = 0, 1
STDIN = "-"


def add_arguments(parser: Parser) -> None:
    """What `zerograd lint` understands."""
    parser.description = DESCRIPTION
    parser.add_argument("paths", nargs="*", default=["."], metavar="PATH", help="files, folders, or - (default: .)")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how it is told (default: text)")
    parser.add_argument("--select", type=_codes, default=[], metavar="CODES", help="only these, such as ZG101,ZG105")
    parser.add_argument("--ignore", type=_codes, default=[], metavar="CODES", help="all but these")
    parser.add_argument("--exclude", action="append", default=[], metavar="PATTERN", help="files and folders to skip")
    parser.add_argument(
        "--explain", metavar="FILE:LINE", help="show the cycle of the loop around a line (FILE:CELL:LINE)"
    )
    parser.add_argument("--rule", metavar="CODE", help="show the page of a rule")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")
    parser.add_shared("quiet")


def execute(arguments: argparse.Namespace) -> int:
    """Run `zerograd lint`."""
    if arguments.rule is not None:
        sys.stdout.write(_page(arguments.rule))
        return CLEAN
    paths = [Path(path) for path in arguments.paths]
    start = paths[0] if arguments.paths[0] != STDIN else Path()
    configuration = configured(
        start if start.is_dir() else start.parent, arguments.select, arguments.ignore, arguments.exclude
    )
    if arguments.explain is not None:
        sys.stdout.write(_explained(arguments.explain, configuration))
        return CLEAN

    from zerograd.linting.checking import check_paths, seldom_collecting
    from zerograd.linting.report import as_json, as_text

    named = [path for path in paths if str(path) != STDIN]
    files = files_of(named, configuration)
    roots = tuple(dict.fromkeys((path if path.is_dir() else path.parent) for path in named))
    with seldom_collecting():
        findings = check_paths(files, configuration, roots)
        if len(named) < len(paths):
            findings += _of_stdin(configuration)
    count = len(files) + len(paths) - len(named)
    told = [finding for finding in findings if finding.severity == "error"] if arguments.quiet else findings
    as_shown = as_json(told) if arguments.format == "json" else as_text(told, None if arguments.quiet else count)
    sys.stdout.write(as_shown)
    return FOUND if any(finding.severity != "info" for finding in findings) else CLEAN


def _of_stdin(configuration: Configuration) -> list[Finding]:
    from zerograd.linting.checking import check_source

    try:
        text = decoded(sys.stdin.buffer.read())
        source = source_of("<stdin>", text, text.startswith("{") and '"cells"' in text)
    except UnreadableError as error:
        raise UsageError(f"The standard input {error.message}.") from None
    return check_source(source, configuration)


def _page(name: str) -> str:
    from zerograd.hazards import NAMES, find

    try:
        return find(name.upper() if name.upper() in NAMES else name).page()
    except KeyError:
        near = nearest(name, [*NAMES, *NAMES.values()])
        hint = f"Did you mean {near!r}? " if near else ""
        raise UsageError(f"There is no rule {name!r}. {hint}Valid codes: {', '.join(NAMES)}.") from None


def _explained(place: str, configuration: Configuration) -> str:
    from zerograd.linting.explaining import explained

    name, _, line = place.rpartition(":")
    if not name or not line.isdigit():
        raise UsageError(f"--explain takes FILE:LINE, such as train.py:41, not {place!r}.")
    name, cell = _without_cell(name)
    path = Path(name)
    if not path.is_file():
        raise UsageError(no_such_file(path))
    try:
        source = read_source(path)
        return explained(source, _line_of(source, cell, int(line)), configuration)
    except UnreadableError as error:
        raise UsageError(f"{name}: {error.message}.") from None


def _without_cell(name: str) -> tuple[str, int | None]:
    """The name of a notebook, and the number of a cell behind it: ``book.ipynb:3``, ``book.ipynb:cell 3``."""
    before, _, last = name.rpartition(":")
    number = last.strip().removeprefix("cell").strip()
    return (before, int(number)) if before.endswith(".ipynb") and number.isdigit() else (name, None)


def _line_of(source: Source, cell: int | None, line: int) -> int:
    """Where a line is in the text of a source. Raises UsageError for a line or a cell that there is not."""
    if cell is None:
        if 0 < line <= len(source.lines):
            return line
        raise UsageError(f"{source.path} has {len(source.lines)} lines, and none of them is {line}.")
    try:
        lines = source.lines_of_cell(cell)
    except KeyError:
        codes = ", ".join(map(str, source.cells))
        raise UsageError(f"{source.path} has no cell of code {cell}; it has these: {codes}.") from None
    if 0 < line <= len(lines):
        return lines[line - 1]
    raise UsageError(f"Cell {cell} of {source.path} has {len(lines)} lines, and none of them is {line}.")


def _codes(text: str) -> list[str]:
    return [code for code in text.replace(",", " ").split() if code]
