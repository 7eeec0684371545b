"""Random rules, written as source text from a string of bytes: the same bytes give the same rule, in every process.

A rule is a list of assignments over everything so far, so values are shared, kept, stored twice and overwritten in any
order. What the assignments compute is up to the subclass.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from zerograd import algebra
from zerograd.algebra import Rule, rule
from zerograd.algebra.graph import PER, Level

T = TypeVar("T")

HYPERS = ({"two": 2.0, "half": 0.5}, {"two": 4.0, "half": 0.25})
"""The hyper-parameters of every random rule, in the first and in the second group."""

TENSOR_STATES = ("a", "b", "c", "d")
SIGNATURE = (
    'g, p, a, b=start("p"), c=start("g"), d=start("two"), n=scalar(1.0), m=scalar("half", per="group"), '
    "*, two=2.0, half=0.5, t, first"
)
SPANS = tuple(PER)


@dataclass(frozen=True)
class Value:
    """A name or an expression, its level, and the bits that it may need above and below the binary point."""

    text: str
    level: Level
    whole: int = 3
    fraction: int = 0

    @property
    def bits(self) -> int:
        return self.whole + self.fraction


class Writer:
    """Writes one rule. spans: the ``per=`` of the reductions to use; none for a rule without reductions."""

    def __init__(self, genome: bytes, spans: Sequence[str] = ()) -> None:
        self._genome, self._at = genome, 0
        self._spans = spans
        self._lines: list[str] = []
        self._used: set[str] = set()

    def operations(self) -> list[Callable[[], None]]:
        """What may come next; each writes one line."""
        raise NotImplementedError

    def result(self, finest: Level) -> str:
        """The name of something to return, not finer than this level."""
        raise NotImplementedError

    def source(self) -> str:
        """The text of the rule."""
        operations = self.operations()
        moves, keeps = self.pick((False, True)), self.pick((False, False, False, True))
        while self._at < len(self._genome) - 10:
            self.pick(operations)()
        results = [self.result(Level.ELEMENT)]
        if not keeps:
            results += [self.result(Level.ELEMENT) for _ in TENSOR_STATES]
            results += [self.result(Level.TENSOR), self.result(Level.GROUP)]
        body = textwrap.indent("\n".join([*self._lines, f"return {', '.join(results)}"]), "    ")
        return f"def random_rule({SIGNATURE}{', lr' if moves else ''}):\n{body}\n"

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, by the next byte."""
        byte = self._genome[self._at] if self._at < len(self._genome) else 0
        self._at += 1
        return choices[byte % len(choices)]

    def pick_value(self, values: Sequence[Value]) -> Value:
        """One of the values so far: most often one that nobody has used yet, or a recent one to be used again."""
        fresh = [v for v in values if v.text not in self._used]
        value = self.pick(self.pick((fresh or values, values[-4:], values)))
        self._used.add(value.text)
        return value

    def let(self, text: str) -> str:
        """A new name for an expression."""
        name = f"x{len(self._lines)}"
        self._lines.append(f"{name} = {text}")
        return name

    def reduction(self, kinds: Sequence[str], operand: str) -> tuple[str, Level]:
        """The text of a reduction and its level."""
        per = self.pick(self._spans)
        return f"{self.pick(kinds)}({operand}, per={per!r})", PER[per]


def function(source: str) -> Callable[..., Any]:
    """The plain function that the source defines, with the verbs in reach."""
    scope: dict[str, Any] = {name: getattr(algebra, name) for name in algebra.__all__}
    exec(compile(source, "<random rule>", "exec"), scope)
    made: Callable[..., Any] = scope["random_rule"]
    return made


def made(source: str) -> Rule:
    """The source as a rule."""
    return rule(function(source))
