"""Comments to the linter: ``# zerograd: ignore``, ``# zerograd: ignore[ZG101]``, ``# zerograd: accumulate``."""

from __future__ import annotations

from zerograd.errors import nearest
from zerograd.hazards import NAMES
from zerograd.linting.configuration import REMARKS
from zerograd.linting.finding import Finding
from zerograd.linting.patterns import pattern
from zerograd.linting.reading import Source
from zerograd.stand_ins import dataclass, field

MARK = pattern(r"#\s*zerograd:\s*(ignore|accumulate)\b(?:\s*\[([^\]]*)\])?")
UNUSED = "ZG100"
"""The code of a comment that suppresses nothing."""

KNOWN = frozenset((*NAMES, *REMARKS))
"""All codes that a comment may name; those of what shows while a program runs, too."""

ACCUMULATED = frozenset({"ZG101", "ZG102", "ZG105", "ZG106", "ZG107", "ZG109"})
"""What a loop may do that is declared to accumulate on purpose."""


@dataclass
class Comment:
    """One comment. ``codes``: empty for all of them."""

    line: int
    column: int
    codes: frozenset[str]
    accumulate: bool = False
    used: set[str] = field(default_factory=set)

    def covers(self, code: str) -> bool:
        return code in ACCUMULATED if self.accumulate else not self.codes or code in self.codes


def comments(source: Source) -> list[Comment]:
    """All comments to the linter. Strings that look like one are none."""
    if "zerograd:" not in source.text:
        return []
    import io
    import tokenize

    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type == tokenize.COMMENT and (match := MARK.search(token.string)):
                codes = frozenset(code.strip().upper() for code in (match[2] or "").split(",") if code.strip())
                column = token.start[1] + match.start()
                found.append(Comment(token.start[0], column, codes, match[1] == "accumulate"))
    except (tokenize.TokenError, SyntaxError, IndexError):
        pass  # what could be read counts
    return found


def kept(findings: list[tuple[Finding, frozenset[int]]], found: list[Comment]) -> list[Finding]:
    """The findings that no comment covers. Each comes with the lines on which a comment counts for it."""
    by_line: dict[int, list[Comment]] = {}
    for comment in found:
        by_line.setdefault(comment.line, []).append(comment)
    left = []
    for finding, lines in findings:
        covering = [c for line in lines for c in by_line.get(line, ()) if c.covers(finding.code)]
        for comment in covering:
            comment.used.add(finding.code)
        if not covering:
            left.append(finding)
    return left


def unused(found: list[Comment], checked: frozenset[str], source: Source) -> list[Finding]:
    """A finding for each ignore comment, or code in one, that suppressed nothing of what was checked."""
    told = []
    for comment in found if UNUSED in checked else ():
        unknown = sorted(code for code in comment.codes if code not in KNOWN)
        if unknown:
            message = f"unused-ignore: there is no rule {', '.join(unknown)}{_hint(unknown[0])}"
            told.append(Finding.at(source, comment.line, comment.column, UNUSED, "info", message))
        if comment.accumulate or (comment.codes and not comment.codes & checked):
            continue
        idle = sorted(comment.codes - comment.used - {*unknown}) if comment.codes else _anything(comment)
        if idle:
            message = f"unused-ignore: nothing to ignore here for {', '.join(idle)}; remove the comment"
            told.append(Finding.at(source, comment.line, comment.column, UNUSED, "info", message))
    return told


def _anything(comment: Comment) -> list[str]:
    return [] if comment.used else ["anything"]


def _hint(code: str) -> str:
    """The rule that may be meant: by its name, or by the code that is spelt most like it."""
    by_name = {name.upper(): known for known, name in NAMES.items()}
    meant = by_name.get(code) or nearest(code, NAMES)
    return f"; did you mean {meant}?" if meant else ""
