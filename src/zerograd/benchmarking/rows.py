"""What was measured: a part has rows, a row has a timing for every contestant and torch's times over zerograd's."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from zerograd.benchmarking.turns import Timing

DEFAULT, FOREACH, FUSED, OURS = "torch default", "torch foreach", "torch fused", "zerograd"
INT8 = "zerograd int8"
"""8-bit states; its ratio is that of its time to zerograd's with states as torch has them."""
DEEPSPEED, COPY = "DeepSpeedCPUAdam", "torch copy"

MICROSECONDS = {"microseconds": 1.0, "seconds": 1e6}


@dataclass(frozen=True)
class Row:
    """One workload. ``details`` is what else there is to know about it, and goes into the JSON as it is."""

    workload: str
    timings: dict[str, Timing]
    threads: int
    rounds: int
    details: dict[str, object] = field(default_factory=dict)
    gigabytes_per_second: dict[str, float] = field(default_factory=dict)
    standing_still: tuple[str, ...] = ()
    """Contestants whose parameters did not move: their time is not that of the whole work."""

    def ratios(self) -> dict[str, Timing]:
        """Every other optimizer's time over zerograd's: above 1, zerograd is faster."""
        ours = self.timings[OURS]
        return {
            name: Timing(theirs.p10 / ours.p10, theirs.median / ours.median)
            for name, theirs in self.timings.items()
            if name not in (OURS, COPY)
        }

    def as_json(self) -> dict[str, object]:
        """The row as JSON has it."""
        shown: dict[str, object] = {"workload": self.workload, **self.details}
        shown |= {"threads": self.threads, "rounds": self.rounds}
        shown["times"] = {name: asdict(timing) for name, timing in self.timings.items()}
        shown["ratios"] = {name: asdict(ratio) for name, ratio in self.ratios().items()}
        if self.gigabytes_per_second:
            shown["gigabytes_per_second"] = self.gigabytes_per_second
        if self.standing_still:
            shown["standing_still"] = list(self.standing_still)
        return shown


@dataclass
class Part:
    """The rows of one part. ``notes`` are sentences that belong below its table."""

    name: str
    title: str
    unit: str
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a sentence, once."""
        if sentence not in self.notes:
            self.notes.append(sentence)

    def contestants(self) -> list[str]:
        """All that took part in some row, in the order of their first."""
        return list(dict.fromkeys(name for row in self.rows for name in row.timings))

    def as_json(self, machine: dict[str, object]) -> dict[str, object]:
        """The part as its file has it."""
        return {
            "part": self.name,
            "title": self.title,
            "unit": self.unit,
            "ratios": "a contestant's time over zerograd's, of the same run: above 1, zerograd is faster",
            "machine": machine,
            "notes": self.notes,
            "rows": [row.as_json() for row in self.rows],
        }
