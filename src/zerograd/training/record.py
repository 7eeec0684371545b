"""What one epoch gave: a line of record.jsonl.

epoch                 counted from 1
train_loss, train_*   as seen while training: over the epoch, before each step, with dropout where the model has it
valid_*, test_*       after the epoch, in evaluation mode, if there are such samples; means over samples
lr                    the learning rate of the epoch's first step
grad_norm             the norm of the whole gradient, the mean over the epoch's steps
samples_per_second    of the training alone, without the evaluation
seconds               since the first epoch began; of a run that was resumed, without the pause
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from zerograd.errors import UsageError

Line = dict[str, float]


def json_line(numbers: Mapping[str, float]) -> str:
    """One line of JSON. It has no word for infinity or "not a number": such a number becomes null."""
    finite = {name: number if math.isfinite(number) else None for name, number in numbers.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def read_lines(path: Path) -> list[Line]:
    """The lines of a record; null is "not a number". A last line that was torn when its program died is left out."""
    lines: list[Line] = []
    rows = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for number, row in enumerate(rows, start=1):
        if not row:
            continue
        try:
            numbers = json.loads(row)
            line = {str(name): _number(value) for name, value in numbers.items()}
        except (ValueError, AttributeError):
            if number == len(rows):  # no line end stands behind it
                break
            raise UsageError(f"{path}: line {number} is not a line of a record: {row[:60]!r}") from None
        if number < len(rows):
            lines.append(line)
    return lines


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{value!r} is no number")
    return value
