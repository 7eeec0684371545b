"""What is read: a file, the standard input or the code cells of a notebook, as text and as a syntax tree."""

from __future__ import annotations

import ast
import re
import sys
import warnings
from bisect import bisect_right
from pathlib import Path

from zerograd.linting.patterns import pattern
from zerograd.stand_ins import dataclass, field

MAGIC = pattern(r"^(\s*)(?:[%!?].*|.*[^\s#'\"]\?{1,2}\s*|\w[\w, ]*=\s*[!%].*)$")
"""A line of a notebook that is IPython's and not Python's."""

SHELL = pattern(r"^([^\S\n]*)(?:[%!]|\w[\w, ]*=\s*[!%]).*$", re.MULTILINE)
"""Those of them that are found in programs: ``!pip install torch``."""

DECLARES = pattern(rb"coding|\A\xef\xbb\xbf")
"""What a file has at its beginning that may be in another encoding than UTF-8, or has a mark of it."""

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Files are read with the grammar of the Python that runs this: what a later one has brought is no Python for it."""

RELEVANT = pattern(r"zero_grad|backward|\bstep\b|optim", re.IGNORECASE)
"""What a file has, somewhere, that has to do with gradients at all."""

WORDS = ("zero_grad", "backward", "optim")
"""The same without regard to other ways of writing them, which is quicker to look for."""

LANGUAGE_CELL = pattern(r"^\s*%%(?!time|capture|timeit|prun)")


def is_relevant(text: str) -> bool:
    """Whether a text has to do with gradients at all."""
    return any(word in text for word in WORDS) or bool(RELEVANT.search(text))


class UnreadableError(Exception):
    """A file that is no Python: the message says why, the line where."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message, self.line, self.column = message, line, column


@dataclass(frozen=True)
class Place:
    """A position as a reader counts: from one on, in a notebook within the cell."""

    line: int
    column: int
    cell: int | None = None


@dataclass
class Source:
    """A file. ``starts``: of a notebook, the first line of each code cell; ``cells``: their numbers there."""

    path: str
    text: str
    starts: list[int] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = self.text.splitlines()

    def place(self, line: int, column: int = 0) -> Place:
        """Where a line of the text, and a column that ``ast`` counts in bytes, are for a reader."""
        text = self.line(line)
        column = len(text.encode("utf-8")[:column].decode("utf-8", "ignore")) + 1
        if not self.starts:
            return Place(line, column)
        index = max(bisect_right(self.starts, line) - 1, 0)
        return Place(line - self.starts[index] + 1, column, self.cells[index])

    def lines_of_cell(self, cell: int) -> range:
        """The numbers of a cell's lines in the text. Raises KeyError for what is no cell of code."""
        if cell not in self.cells:
            raise KeyError(cell)
        index = self.cells.index(cell)
        end = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.lines) + 1
        return range(self.starts[index], end)

    def line(self, line: int) -> str:
        return self.lines[line - 1] if 0 < line <= len(self.lines) else ""

    def is_end_of_cell(self, line: int) -> bool:
        """Whether nothing but blank lines follows in the cell: a notebook shows the value of such an expression."""
        if not self.starts:
            return False
        index = bisect_right(self.starts, line)
        end = self.starts[index] - 1 if index < len(self.starts) else len(self.lines)
        return not any(text.strip() for text in self.lines[line:end])

    def parse(self) -> ast.Module:
        """The tree. Raises UnreadableError for what is no Python."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a file's invalid escapes are not our matter
                return ast.parse(self.text)
        except SyntaxError as error:
            raise UnreadableError(
                f"not valid Python {VERSION}: {error.msg}", error.lineno or 1, error.offset or 1
            ) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise UnreadableError(f"not readable as Python: {error}") from None


def read_source(path: Path) -> Source:
    """A file or notebook. Raises UnreadableError; a notebook's broken cells are left out."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"can't be read: {error.strerror or error}") from None
    return source_of(str(path), decoded(data), path.suffix == ".ipynb")


def source_of(path: str, text: str, of_notebook: bool) -> Source:
    """A source from its text. A program that was saved from a notebook may have IPython's own lines in it, too."""
    if of_notebook:
        return notebook(path, text)
    if SHELL.search(text) and not _is_python(text):
        plain = "\n".join(SHELL.sub(r"\1pass", line) for line in text.split("\n"))
        text = plain if _is_python(plain) else text
    return Source(path, text)


def _is_python(text: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def decoded(data: bytes) -> str:
    """The text of a file in the encoding that it declares. Raises UnreadableError."""
    try:
        if not DECLARES.search(b"\n".join(data.split(b"\n", 2)[:2])):
            return _with_plain_lines(data.decode("utf-8"))
    except UnicodeDecodeError:
        pass  # said in the words below, which Python has for it
    import io
    import tokenize

    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = io.TextIOWrapper(io.BytesIO(data), encoding, newline=None).read()
    except (SyntaxError, UnicodeError, LookupError) as error:
        raise UnreadableError(f"can't be decoded: {error}") from None
    return _with_plain_lines(text)


def _with_plain_lines(text: str) -> str:
    """A form feed is a line for splitlines and none for Python."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("\f", " ")


def notebook(path: str, text: str) -> Source:
    """The code cells of a notebook, one below the other, without IPython's own lines."""
    import json

    try:
        document = json.loads(text)
        cells = document["cells"]
        codes = [
            (number, source if isinstance(source := cell.get("source", ""), str) else "".join(source))
            for number, cell in enumerate(cells, start=1)
            if cell.get("cell_type") == "code"
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UnreadableError("not a notebook: no list of cells in it") from None
    lines: list[str] = []
    starts: list[int] = []
    numbers: list[int] = []
    for number, code in codes:
        starts.append(len(lines) + 1)
        numbers.append(number)
        lines += _python_of(code)
    return Source(path, "\n".join(lines) + "\n", starts, numbers)


def _python_of(code: str) -> list[str]:
    """The lines of a cell; all blank where the cell is no Python."""
    lines = code.splitlines()
    if lines and LANGUAGE_CELL.match(lines[0]):
        return [""] * len(lines)
    plain = [MAGIC.sub(r"\1pass", line) if "%" in line or "!" in line or "?" in line else line for line in lines]
    for candidate in (lines, plain):
        if _is_python("\n".join(candidate)):
            return candidate
    return [""] * len(lines)
