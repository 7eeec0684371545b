"""What a hazard is: a mistake in the life of a gradient that no error tells of."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # the linter starts without dataclasses and typing
    from typing import Literal

    Severity = Literal["error", "warning", "info"]
else:
    Severity = str
"""error: a mistake on every path. warning: likely one. info: advice, which fails no build by itself."""


class Hazard:
    """One entry of the catalogue.

    code: such as ZG101. name: words that read well after "allow", joined by hyphens. severity: of what the linter says.
    what: what it is. why: what it does to training. example: a program that has it. instead: the same put right.
    """

    def __init__(
        self, *, code: str, name: str, severity: Severity, what: str, why: str, example: str, instead: str
    ) -> None:
        self.code = code
        self.name = name
        self.severity: Severity = severity
        self.what = what
        self.why = why
        self.example = example
        self.instead = instead

    def page(self) -> str:
        """The entry as Markdown, with headings that all entries share."""
        return (
            f"# {self.code} {self.name}\n\n"
            f"## What it does\n\n{self.what.strip()}\n\n"
            f"## Why it is bad\n\n{self.why.strip()}\n\n"
            f"## Example\n\n```python\n{self.example.strip()}\n```\n\n"
            f"## Use instead\n\n```python\n{self.instead.strip()}\n```\n"
        )
