"""Random rules of smooth operations on values of order 1: what a backend rounds differently stays far below 1.

Without comparisons and signs nothing jumps, and what may grow is bent back with tanh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernels.random_rules import TENSOR_STATES, Value, Writer
from zerograd.algebra.graph import Level

BOUND = 8.0
INPUTS = [
    *(Value(name, Level.GROUP) for name in ("m", "two", "half")),
    *(Value(name, Level.TENSOR) for name in ("n", "t")),
    *(Value(name, Level.ELEMENT) for name in ("g", "p", *TENSOR_STATES)),
]
CONDITIONS = ("first", "t > 1", "n > 0.5", "two > 3", "(t > 1) & (half < 0.3)")
PATTERNS = (
    "{} + {}", "{} - {}", "{} * {}", "{} / ({} ** 2 + 1)", "maximum({}, {})", "minimum({}, {})",
    "lerp({}, {}, half)", "{} + {} * two", "({} * half) / (abs({}) * two + 1)",
)  # fmt: skip
FUNCTIONS = (
    "-{}", "abs({})", "tanh({})", "exp(tanh({}))", "sqrt({} ** 2 + 1)", "log({} ** 2 + 1)",
    "two ** tanh({})", "(tanh({}) + 2) ** half", "(tanh({}) + 2) ** 1.5", "1 / ({} ** 2 + 1)",
)  # fmt: skip
TRIPLES = (
    "{} + {} * {} * half",
    "{} - {} / ({} ** 2 + 1) * two",
    "clamp({}, -abs({}), abs({}) + 1)",
    "lerp({}, {}, tanh({}))",
)


class SmoothRule(Writer):
    """Writes one smooth rule."""

    def __init__(self, genome: bytes, spans: Sequence[str] = ()) -> None:
        super().__init__(genome, spans)
        self._values = list(INPUTS)

    def operations(self) -> list[Callable[[], None]]:
        plain = [self._pair, self._pair, self._function, self._triple, self._choice]
        return [*plain, self._reduction] if self._spans else plain

    def result(self, finest: Level) -> str:
        return self.pick_value([v for v in self._values if v.level == finest]).text

    def _write(self, pattern: str, count: int, *, finest: Level = Level.GROUP) -> None:
        values = [self.pick_value(self._values) for _ in range(count)]
        text = pattern.format(*(v.text for v in values))
        name = self.let(f"{BOUND} * tanh(({text}) / {BOUND})")
        self._values.append(Value(name, min(finest, *(v.level for v in values))))

    def _pair(self) -> None:
        self._write(self.pick(PATTERNS), 2)

    def _function(self) -> None:
        self._write(self.pick(FUNCTIONS), 1)

    def _triple(self) -> None:
        self._write(self.pick(TRIPLES), 3)

    def _choice(self) -> None:
        self._write(f"where({self.pick(CONDITIONS)}, {{}}, {{}})", 2, finest=Level.TENSOR)

    def _reduction(self) -> None:
        operand = self.pick_value([v for v in self._values if v.level == Level.ELEMENT])
        text, level = self.reduction(("total", "mean", "norm"), operand.text)
        self._values.append(Value(self.let(f"tanh({text})"), level))
