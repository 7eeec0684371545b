"""The lines of a file: which have to do with gradients by the words in them, before the tree is looked at.

Most lines of a program have not. What says so must be cheap: each line is looked at once, and a node of the tree is
compared with the lines that were found by counting them.
"""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

from zerograd.linting.patterns import pattern
from zerograd.linting.reading import Source
from zerograd.linting.scopes import Function

TELLING = pattern(
    r"yield|backward|step|zero|^opt|_opt|optim|Opt|^_?grad$|closure|loop|^(?:run|on|before|after|call|fire|emit|sync)",
    re.MULTILINE,
)
TELLING_IN_ANY_CASE = pattern(
    r"train|fit|learn|backprop|bwd|grad|hook|callback|dispatch|minimi[sz]e|accumul|engine|trigger|execute"
)
"""Words of lines that may have to do with gradients. All other lines are not looked at closely."""
WORD = pattern(r"[^\W\d]\w*")
DIGITS = "0123456789"
BLANKS = "".join(chr(code) if chr(code).isalnum() or chr(code) in "_\n" else " " for code in range(128))
"""For ``translate``: what is no part of a word is a blank."""

ACTING = pattern(r"\.\s*step\b|zero_grad|backward|_step\s*\(|\._?grad\b[^=\n]*=|\.grad\b.*_\(|autograd\.grad")
STEPPING = pattern(r"\.\s*step\b|optimizer_step")
TOO_COMMON = frozenset({"forward", "__init__", "get", "main", "__enter__", "__exit__", "__iter__", "__next__"})
ITSELF = {"forward": "self.forward("}
"""Of the names that are too common, those that are followed where an object calls its own method."""
ROUNDS = 6
DATA = 2000
"""A line of more characters is no program that somebody reads."""


def telling_words(words: Iterable[str]) -> set[str]:
    """Those of some words that mean that a line with them may have to do with gradients."""
    rows = "\n".join(words)
    found = {_row(rows, match) for match in TELLING.finditer(rows)}
    small = rows.lower()
    if len(small) == len(rows):
        return found.union(_row(rows, match) for match in TELLING_IN_ANY_CASE.finditer(small))
    return found.union(word for word in rows.split("\n") if TELLING_IN_ANY_CASE.search(word.lower()))


def _row(rows: str, match: re.Match[str]) -> str:
    """The row that a match is in."""
    end = rows.find("\n", match.end())
    return rows[rows.rfind("\n", 0, match.start()) + 1 : end if end >= 0 else len(rows)]


def within(numbers: list[int], node: object) -> bool:
    """Whether one of the sorted line numbers is a node's."""
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    index = bisect_left(numbers, first)
    return index < len(numbers) and numbers[index] <= last


class Marks:
    """Lines that many nodes are compared with. ``count``: how many lines the file has."""

    def __init__(self, numbers: Iterable[int], count: int) -> None:
        marked = bytearray(count + 2)
        for number in numbers:
            marked[number] = 1
        self._until = [*accumulate(marked)]
        """How many of them there are up to each line."""

    def within(self, node: ast.expr | ast.stmt) -> bool:
        """Whether one of the lines is a node's."""
        until = self._until
        try:
            return until[node.end_lineno or node.lineno] > until[node.lineno - 1]
        except IndexError:  # old Pythons give what is in an f-string lines that there are not
            return until[-1] > until[min(node.lineno, len(until)) - 1]


class Lines:
    """The lines of a source, without comments, and without what is too long for a line of a program."""

    def __init__(self, source: Source) -> None:
        self.rows, self.text = _without_data(source)
        """All of them, and the text, in which words are looked for."""
        self.numbered = [
            (number, line)
            for number, line in enumerate(self.rows, start=1)
            if "#" not in line or not line.lstrip().startswith("#")
        ]

    def having(self, words: str) -> list[int]:
        """The lines with some words."""
        return [number for number, line in self.numbered if words in line]

    def marks(self, numbers: Iterable[int]) -> Marks:
        return Marks(numbers, len(self.rows))

    @cached_property
    def jumping(self) -> list[int]:
        """The lines after which a run may go on elsewhere than at the next one."""
        return [
            number
            for number, line in self.numbered
            if "return" in line or "raise" in line or "while" in line or "break" in line or "continue" in line
        ]

    @cached_property
    def _doing(self) -> list[tuple[int, str]]:
        """The lines that may fit one of the patterns of ``spread``."""
        return [pair for pair in self.numbered if "step" in pair[1] or "grad" in pair[1] or "backward" in pair[1]]

    @cached_property
    def words(self) -> dict[str, list[int]]:
        """The lines of each word."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, line in self.numbered:
            for word in line.translate(BLANKS).split() if line.isascii() else WORD.findall(line):
                found[word].append(number)
        for word in [word for word in found if word[0] in DIGITS]:
            found[word.lstrip(DIGITS)] += found.pop(word)
        found.pop("", None)
        return dict(found)

    def spread(self, acts: re.Pattern[str], names: set[str], functions: list[Function]) -> tuple[list[int], set[str]]:
        """The lines that fit a pattern or name a function that has such a line, and the names of such functions.

        ``names``: of functions elsewhere that have one.
        """
        marked = {number for number, line in self._doing if acts.search(line)}
        known: set[str] = set()
        found = sorted(marked)
        for _ in range(ROUNDS if found or names else 0):
            names = names.union(f.name for f in functions if f.name not in names and within(found, f.node))
            fresh = names - known - TOO_COMMON
            own = [number for name, call in ITSELF.items() if name in names for number in self.having(call)]
            inner = set(own) - marked
            if not fresh and not inner:
                break
            known |= fresh
            marked |= inner
            if "__call__" in fresh:
                marked.update(self.having("("))
            else:
                marked.update(*(self.words[word] for word in fresh if word in self.words))
            found = sorted(marked)
        return found, known

    def telling(self, names: set[str], acting: list[int]) -> list[int]:
        """The lines that have to be looked at closely: those that act, and all with words that may mean gradients."""
        found = set(self.having("self("))
        words = names.intersection(self.words) | telling_words(self.words)
        found.update(*(self.words[word] for word in words))
        return sorted(found.union(acting))


def _without_data(source: Source) -> tuple[list[str], str]:
    """Lines and text without what is too long for a line of a program: pictures and tables, written as strings."""
    if not any(len(line) > DATA for line in source.lines):
        return source.lines, source.text
    rows = [line if len(line) <= DATA else "" for line in source.lines]
    return rows, "\n".join(rows)
