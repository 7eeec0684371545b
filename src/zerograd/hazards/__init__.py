"""The catalogue of hazards: one code, one name, one page, whether found in the source or while a program runs.

A hazard is a module here, named after its code and name, whose ``HAZARD`` is the entry.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from zerograd.errors import UsageError, did_you_mean
from zerograd.hazards.hazard import Hazard, Severity

NAMES = {
    "ZG101": "missing-zero-grad",
}
"""All codes, in order."""

__all__ = ["NAMES", "Hazard", "Severity", "hazard"]


@cache
def hazard(code: str) -> Hazard:
    """The entry of a code, or of a name. Raises UsageError with the nearest one for what is neither."""
    codes = {**{code: code for code in NAMES}, **{name: code for code, name in NAMES.items()}}
    if code not in codes:
        raise UsageError(f"There is no hazard {code!r}. {did_you_mean(code, codes)}")
    found = codes[code]
    stem = f"{found}_{NAMES[found]}".lower().replace("-", "_")
    entry: Hazard = import_module(f"zerograd.hazards.{stem}").HAZARD
    return entry
