"""How findings are told: as text with the line and a caret, or as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from zerograd.hazards import Severity
from zerograd.linting.finding import Finding

ORDER: tuple[Severity, ...] = ("error", "warning", "info")
WIDEST = 160


def as_text(findings: Sequence[Finding], files: int | None) -> str:
    """Each finding with its line, then how many there are in so many files; with None for ``files`` nothing more."""
    return "".join(map(_shown, findings)) + (_summary(findings, files) if files is not None else "")


def _shown(finding: Finding) -> str:
    cell = f"cell {finding.cell}:" if finding.cell else ""
    head = (
        f"{finding.path}:{cell}{finding.line}:{finding.column}: {finding.severity} {finding.code} {finding.message}\n"
    )
    line = finding.shown.replace("\t", " ")
    if not line.strip() or len(line) > WIDEST:
        return head
    return f"{head}    {line}\n    {' ' * _width(line[: finding.column - 1])}^\n"


def _width(text: str) -> int:
    """How many columns of a terminal a text takes: the signs of Chinese and Japanese take two, accents none."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def _summary(findings: Sequence[Finding], files: int) -> str:
    checked = f"{files} file{'' if files == 1 else 's'} checked"
    if not findings:
        return f"{checked}, nothing found.\n"
    counts = Counter(finding.severity for finding in findings)
    parts = [f"{counts[s]} {s}{'' if counts[s] == 1 or s == 'info' else 's'}" for s in ORDER if counts[s]]
    return f"{checked}: {', '.join(parts)}.\n"


def as_json(findings: Sequence[Finding]) -> str:
    """A list of objects: path, line, column, code, severity, message; of a notebook the cell, too."""
    import json

    return json.dumps([finding.as_object() for finding in findings], indent=2) + "\n"
