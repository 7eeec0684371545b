"""Every exception that zerograd raises on its own, and the words that errors share.

ZerogradError
├── HazardError (RuntimeError)   the guard has found a hazard, and was asked to raise
├── RuleError (TypeError)        a rule does something that the language does not allow
├── RunError (RuntimeError)      a training run can't go on: its loss is not finite, or its folder can't be written
└── UsageError (ValueError)      a command or a task was given something it can't use

HazardWarning (UserWarning)      the guard has found a hazard

Where torch.optim has an exception for a mistake (TypeError, ValueError, RuntimeError, KeyError), zerograd raises
that very type, so that programs which catch it go on working.
"""

from __future__ import annotations

from collections.abc import Iterable


class ZerogradError(Exception):
    """Base of the exceptions that are zerograd's own."""


class HazardError(ZerogradError, RuntimeError):
    """A gradient was lost, used twice or never used, and ``guard(..., action="raise")`` was asked to stop there."""


class HazardWarning(UserWarning):
    """A gradient was lost, used twice or never used: the program runs, but does not train as it is meant to."""


class RuleError(ZerogradError, TypeError):
    """A rule, wrapper or view does something that the rule language does not allow."""


class RunError(ZerogradError, RuntimeError):
    """A training run can't go on: its loss is not a finite number any more, or its files can't be written."""


class UsageError(ZerogradError, ValueError):
    """A command, a task or a run was asked for something that does not exist or can't work."""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that is spelt most like ``name``, or None if none is near."""
    import difflib

    by_folded = {n.casefold(): n for n in names}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A sentence that names the nearest valid name and all the others: the cure in an error about a name."""
    names = list(names)
    near = nearest(name, names)
    hint = f"Did you mean {near!r}? " if near else ""
    return f"{hint}Valid names: {', '.join(names)}."
