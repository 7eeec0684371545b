"""The catalogue of hazards: one code, one name, one page, whether found in the source or while a program runs.

A hazard is a module here, named after its code and name, whose ``HAZARD`` is the entry.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from zerograd.hazards.hazard import Hazard, Severity

NAMES = {
    "ZG101": "missing-zero-grad",
    "ZG102": "missing-zero-second-optimizer",
    "ZG103": "zero-between-backward-and-step",
    "ZG104": "step-before-backward",
    "ZG105": "zero-inside-accumulation-window",
    "ZG106": "dropped-last-window",
    "ZG107": "loss-not-divided-in-window",
    "ZG108": "not-called",
    "ZG109": "zero-once-outside-step-loop",
    "ZG110": "step-without-backward",
    "ZG111": "double-step",
    "ZG112": "same-optimizer-twice",
    "ZG113": "missing-step",
    "ZG801": "poisoned-state",
}
"""All codes, in order."""

__all__ = ["NAMES", "Hazard", "Severity", "find"]


@cache
def find(code: str) -> Hazard:
    """The entry of a code, or of a name. Raises KeyError for what is neither."""
    known = code if code in NAMES else {name: code for code, name in NAMES.items()}[code]
    stem = f"{known}_{NAMES[known]}".lower().replace("-", "_")
    entry: Hazard = import_module(f"zerograd.hazards.{stem}").HAZARD
    return entry
