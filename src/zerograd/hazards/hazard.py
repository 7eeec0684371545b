"""What a hazard is: a mistake in the life of a gradient that no error tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
"""error: a mistake on every path. warning: likely one. info: advice, which fails no build by itself."""


@dataclass(frozen=True)
class Hazard:
    """One entry of the catalogue.

    code: such as ZG101. name: words that read well after "allow", joined by hyphens. severity: of what the linter says.
    what: what it is. why: what it does to training. example: a program that has it. instead: the same put right.
    """

    code: str
    name: str
    severity: Severity
    what: str
    why: str
    example: str
    instead: str

    def page(self) -> str:
        """The entry as Markdown, with headings that all entries share."""
        return (
            f"# {self.code} {self.name}\n\n"
            f"## What it does\n\n{self.what.strip()}\n\n"
            f"## Why it is bad\n\n{self.why.strip()}\n\n"
            f"## Example\n\n```python\n{self.example.strip()}\n```\n\n"
            f"## Use instead\n\n```python\n{self.instead.strip()}\n```\n"
        )
