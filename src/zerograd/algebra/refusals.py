"""Where a refusal happened: errors inside a rule name the rule, the file and the line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from zerograd.algebra.graph import VERBS
from zerograd.errors import RuleError


class LocatedRuleError(RuleError):
    """A refusal that already names its place."""


@contextmanager
def located(kind: str, function: Callable[..., Any]) -> Iterator[None]:
    """Errors of the body that concern the language leave it with the function's name, file and line."""
    try:
        yield
    except LocatedRuleError:
        raise
    except RuleError as error:
        raise LocatedRuleError(f"{_place(kind, function, error.__traceback__)}: {error}") from None
    except (TypeError, AttributeError) as error:
        if "Symbol" not in str(error):  # Python's own refusal, such as of >> or of g.data = ...
            raise
        message = f"{_place(kind, function, error.__traceback__)}: {error}; use {VERBS}"
        raise LocatedRuleError(message) from None


def _place(kind: str, function: Callable[..., Any], trace: TracebackType | None) -> str:
    code = function.__code__
    line = code.co_firstlineno
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == code.co_filename and trace.tb_frame.f_code is not located.__code__:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f"{kind} {code.co_name!r}, {code.co_filename}:{line}"
