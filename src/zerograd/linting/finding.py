"""What the linter says: one mistake at one place."""

from __future__ import annotations

from zerograd.hazards import Severity
from zerograd.linting.reading import Source
from zerograd.stand_ins import dataclass


@dataclass(frozen=True, order=True)
class Finding:
    """``line`` and ``column`` count from one on; in a notebook ``cell`` is the cell's number and the line is in it."""

    path: str
    cell: int
    line: int
    column: int
    code: str
    severity: Severity
    message: str
    shown: str = ""

    @classmethod
    def at(cls, source: Source, line: int, column: int, code: str, severity: Severity, message: str) -> Finding:
        """A finding at a line of a source's text and a column as ``ast`` counts it."""
        place = source.place(line, column)
        return cls(source.path, place.cell or 0, place.line, place.column, code, severity, message, source.line(line))

    def as_object(self) -> dict[str, object]:
        """As JSON shows it. What is in a notebook has the number of its cell, too."""
        words = f"cell {self.cell}: {self.message}" if self.cell else self.message
        cell = {"cell": self.cell} if self.cell else {}
        return {
            "path": self.path,
            **cell,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "severity": self.severity,
            "message": words,
        }
