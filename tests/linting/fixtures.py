"""The fixtures: programs in Markdown. ``# error: CODE`` stands on each line that must be flagged, on no other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from zerograd.linting import Finding, Source, check_source

FOLDER = Path(__file__).with_name("fixtures")
MARK = re.compile(r"#\s*error:\s*(ZG\d+(?:\s*,\s*ZG\d+)*)")


@dataclass(frozen=True)
class Program:
    """A block of a page, under its heading."""

    page: str
    title: str
    text: str

    @property
    def marked(self) -> set[tuple[int, str]]:
        """Line and code of each mark."""
        return {
            (number, code)
            for number, line in enumerate(self.text.splitlines(), start=1)
            for match in MARK.finditer(line)
            for code in re.findall(r"ZG\d+", match[1])
        }

    @property
    def unmarked(self) -> str:
        """The program without the marks, which are comments that nobody would write."""
        return MARK.sub("#", self.text)

    def __str__(self) -> str:
        return f"{self.page}: {self.title}"


@cache
def programs() -> tuple[Program, ...]:
    """All programs of all pages."""
    found = []
    for path in sorted(FOLDER.glob("*.md")):
        title, block = "", None
        for line in path.read_text(encoding="utf-8").splitlines():
            if block is not None:
                if line == "```":
                    found.append(Program(path.stem, title, "\n".join(block) + "\n"))
                    block = None
                else:
                    block.append(line)
            elif line == "```python":
                block = []
            elif line.startswith("#"):
                title = line.lstrip("# ")
    return tuple(found)


def findings_of(text: str, path: str = "program.py") -> list[Finding]:
    return check_source(Source(path, text))


def told(text: str) -> set[tuple[int, str]]:
    """Line and code of each finding."""
    return {(finding.line, finding.code) for finding in findings_of(text)}
