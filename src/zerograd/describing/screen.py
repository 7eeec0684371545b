"""What the commands write: parts with a heading. In colours on a terminal, if rich is installed; elsewhere plain text.

Elsewhere nothing is wrapped or changed, so a kernel can be cut out of the output and handed to LLVM's own programs.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec


@dataclass(frozen=True)
class Part:
    """A heading and what stands under it. language: of code, "" for prose. accents: pattern -> style, on a terminal."""

    heading: str
    text: str
    language: str = ""
    accents: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The text as it is written: code as it is, prose below its heading."""
        text = self.text.rstrip("\n")
        return text if self.language else textwrap.indent(text, "    ")


def write(parts: Sequence[Part]) -> None:
    """Write the parts to standard output, a blank line between two."""
    if sys.stdout.isatty() and find_spec("rich") is not None:
        _in_colours(parts)
    else:
        write_plainly("\n".join(f"{part.heading}\n{'-' * len(part.heading)}\n{part.shown}\n" for part in parts))


def write_plainly(text: str) -> None:
    """Write text as it is."""
    sys.stdout.write(text)


def _narrowed(line: str, width: int) -> str:
    """A line that is too long for a terminal, in several that end between words."""
    if len(line) <= width:
        return line
    margin = re.match(" *", line)[0]  # type: ignore[index]  # it matches everything
    return "\n".join(
        textwrap.wrap(line, width, subsequent_indent=margin + "  ", break_long_words=False, break_on_hyphens=False)
    )


def _in_colours(parts: Sequence[Part]) -> None:
    from rich.console import Console
    from rich.syntax import Syntax
    from rich.text import Text

    console = Console()
    for number, part in enumerate(parts):
        if number:
            console.print()
        console.print(Text(part.heading, "bold"), soft_wrap=True)
        if part.language:
            text = Syntax(part.shown, part.language, theme="ansi_dark").highlight(part.shown)
            text.rstrip()
        else:
            text = Text("\n".join(_narrowed(line, console.width) for line in part.shown.split("\n")))
            for pattern, style in part.accents.items():
                text.highlight_regex(pattern, style)
        console.print(text, soft_wrap=True)
