"""Random rules whose arithmetic is exact in any order: whoever runs one must agree with the reference to the last bit.

All inputs are small integers, all factors powers of two, and every value carries how many bits it may need. What could
need more than the dtype holds is squashed to its sign first. So melting a product into an addition, or gathering
factors, changes no bit: a difference is a wrong value, never rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kernels.random_rules import TENSOR_STATES, Value, Writer
from zerograd.algebra.graph import Level

COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


HALF, TWO = Value("half", Level.GROUP, 1, 2), Value("two", Level.GROUP)

INPUTS = [
    Value("n", Level.TENSOR),
    Value("t", Level.TENSOR, 2),
    Value("m", Level.GROUP),
    TWO,
    HALF,
    Value("1.0", Level.ALL, 1),
    Value("-3.0", Level.ALL, 2),
    *(Value(name, Level.ELEMENT) for name in ("g", "p", *TENSOR_STATES)),
]


class ExactRule(Writer):
    """Writes one exact rule. ``bits``: how many the dtype of the computation holds, less those that a sum may carry."""

    def __init__(self, genome: bytes, spans: Sequence[str] = (), *, bits: int = 40) -> None:
        super().__init__(genome, spans)
        self._bits = bits
        self._numbers = list(INPUTS)
        self._truths = [Value("first", Level.TENSOR), Value("(t == 1)", Level.TENSOR)]

    def operations(self) -> list[Callable[[], None]]:
        plain = [
            self._sum, self._product, self._product, self._scaled, self._extreme, self._unary, self._quotient,
            self._lerp, self._choice, self._choice, self._comparison, self._logic,
        ]  # fmt: skip
        return [*plain, self._reduction] if self._spans else plain

    def result(self, finest: Level) -> str:
        fitting = [v for v in [*self._truths, *self._numbers] if v.level >= finest]
        exact = [v for v in fitting if v.level == finest]
        return self.pick_value(exact if self.pick((True, True, True, False)) else fitting).text

    def _number(self, room: int) -> Value:
        """Some value that needs at most ``room`` bits."""
        value = self.pick_value(self._numbers)
        return value if value.bits <= room else Value(f"sign({value.text})", value.level, 1)

    def _numbers_of(self, count: int, room: int) -> list[Value]:
        return [self._number(room) for _ in range(count)]

    def _add(self, text: str, values: Sequence[Value], whole: int, fraction: int) -> None:
        level = min(value.level for value in values)
        self._numbers.append(Value(self.let(text), level, whole, fraction))

    def _add_truth(self, text: str, values: Sequence[Value]) -> None:
        self._truths.append(Value(self.let(text), min(value.level for value in values)))

    def _sum(self) -> None:
        x, y = values = self._numbers_of(2, self._bits // 2 - 1)
        whole, fraction = max(x.whole, y.whole) + 1, max(x.fraction, y.fraction)
        self._add(f"{x.text} {self.pick('+-')} {y.text}", values, whole, fraction)

    def _product(self) -> None:
        x, y = values = self._numbers_of(2, self._bits // 2)
        self._add(f"{x.text} * {y.text}", values, x.whole + y.whole, x.fraction + y.fraction)

    def _scaled(self) -> None:
        """a + b * c * s: what backends have one call for."""
        base, x, y = self._numbers_of(3, self._bits // 3 - 2)
        factor = self.pick(("two", "half", "0.25", "-2.0"))
        shapes = ("{} + {} * {} * {}", "{} + {} * ({} * {})", "{} - {} * {} * {}", "({} - {} * {}) * {}")
        text = self.pick(shapes).format(base.text, x.text, y.text, factor)
        whole, fraction = max(base.whole, x.whole + y.whole) + 3, max(base.fraction, x.fraction + y.fraction) + 2
        self._add(text, (base, x, y, TWO), whole, fraction)

    def _extreme(self) -> None:
        x, y = values = self._numbers_of(2, self._bits)
        text = self.pick(("maximum({}, {})", "minimum({}, {})", "clamp({}, -2.0, {})")).format(x.text, y.text)
        self._add(text, values, max(x.whole, y.whole, 2), max(x.fraction, y.fraction))

    def _unary(self) -> None:
        x = self._number(self._bits // 2)
        patterns = (("-{}", 1), ("abs({})", 1), ("sign({})", 1), ("{} ** 2", 2), ("sqrt(abs(sign({})))", 1))
        pattern, power = self.pick(patterns)
        self._add(pattern.format(x.text), (x,), power * x.whole, power * x.fraction)

    def _quotient(self) -> None:
        x, truth = self._number(self._bits - 4), self.pick_value(self._truths)
        divisor = self.pick((TWO, HALF, Value(f"where({truth.text}, -2.0, 0.5)", truth.level)))
        self._add(f"{x.text} / {divisor.text}", (x, divisor), x.whole + 2, x.fraction + 2)

    def _lerp(self) -> None:
        x, y = self._numbers_of(2, self._bits // 2 - 3)
        weight = self.pick((HALF, Value("0.75", Level.ALL), Value("sign(n)", Level.TENSOR)))
        whole, fraction = max(x.whole, y.whole) + 2, max(x.fraction, y.fraction) + 2
        self._add(f"lerp({x.text}, {y.text}, {weight.text})", (x, y, weight), whole, fraction)

    def _choice(self) -> None:
        truth = self.pick_value(self._truths)
        if self.pick((True, True, True, False)):
            x, y = self._numbers_of(2, self._bits)
            text = f"where({truth.text}, {x.text}, {y.text})"
            self._add(text, (truth, x, y), max(x.whole, y.whole), max(x.fraction, y.fraction))
        else:
            x, y = self.pick_value(self._truths), self.pick_value(self._truths)
            self._add_truth(f"where({truth.text}, {x.text}, {y.text})", (truth, x, y))

    def _comparison(self) -> None:
        x, y = values = self._numbers_of(2, self._bits)
        self._add_truth(f"{x.text} {self.pick(COMPARISONS)} {y.text}", values)

    def _logic(self) -> None:
        x, y = self.pick_value(self._truths), self.pick_value(self._truths)
        self._add_truth(f"{x.text} {self.pick('&|')} {y.text}", (x, y))

    def _reduction(self) -> None:
        """Over 1, 2, 4, 8 or 16 elements, so that means are exact too."""
        x = self._number(self._bits // 2 - 3)
        text, level = self.reduction(("total", "mean"), f"{x.text} * {self.pick(('g', 'p', *TENSOR_STATES))}")
        self._numbers.append(Value(self.let(text), level, x.whole + 7, x.fraction + 4))
