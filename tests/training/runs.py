"""Runs for tests: ready to start, and read back."""

import json
from pathlib import Path

from zerograd.training.random_state import own_randomness
from zerograd.training.session import Run, prepare
from zerograd.training.settings import Settings


def prepared(**settings: object) -> Run:
    """A run that could start now."""
    chosen = Settings(**settings)
    with own_randomness(chosen.seed):
        return prepare(chosen)


def read_record(folder: Path) -> list[dict[str, float]]:
    """The record's lines. `parse_constant` refuses NaN and Infinity, which are not JSON."""
    lines = (folder / "record.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=_refuse) for line in lines]


def _refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")
