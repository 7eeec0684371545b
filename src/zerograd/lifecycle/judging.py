"""From what was seen to what is said: suspect first, confirm on a later cycle or at the end, then report once.

Each of the four checks has its own way of being confirmed, because right programs do once or now and then what a
wrong one does in every cycle: a step before the first backward, a flush that finds nothing, a skipped batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zerograd.lifecycle.findings import Finding, place, sites_of, some
from zerograd.lifecycle.lives import KEPT, Pass
from zerograd.lifecycle.ownership import is_place
from zerograd.lifecycle.sites import Trail
from zerograd.lifecycle.suspicions import Idle, Others, Suspicion

CALM = 8
"""After so many cycles without it, a suspicion keeps nobody awake."""

REGULAR, LONG = 4, 8
"""So many cycles in a row that throw away the same number of passes are the program's rule; LONG for a single pass."""

SURE = 3
"""So many steps from one place, each of which found nothing, are no accident."""


class Judge:
    """Weighs what one watch has seen.

    say: called once with each finding that is certain. used: how many steps have used gradients. empty: how many found
    none.
    """

    def __init__(self, kind: str, say: Callable[[Finding], None]) -> None:
        self.kind, self.say = kind, say
        self.used = 0
        self.empty = 0
        self._suspicions: dict[Any, Suspicion] = {}
        self._began_with: dict[Trail, set[Trail]] = {}
        self._windows: dict[Trail, int] = {}
        self._idle: dict[Trail, Idle] = {}
        self._used_at: set[Trail] = set()

    def _see(self, key: Any, cycle: int, finding: Callable[[], Finding]) -> Suspicion:
        known = self._suspicions.get(key)
        if known is None:
            known = self._suspicions[key] = Suspicion(finding)
        known.count += 1
        known.streak = known.streak + 1 if known.last == cycle - 1 else 1
        known.last = cycle
        if known.reported is not None:
            known.reported.count = known.count
        return known

    def _report(self, suspicion: Suspicion) -> None:
        if suspicion.reported is None:
            finding = suspicion.reported = suspicion.finding()
            finding.count = suspicion.count
            self.say(finding)

    def is_calm(self, cycle: int) -> bool:
        """Whether nothing suspicious has been seen in the last cycles, nor at the beginning what the end is to tell."""
        calm = all(cycle - s.last >= CALM for s in self._suspicions.values())
        return calm and self._used_at.isdisjoint(self._began_with)

    # -------------------------------------------------------------------------------------------------- the checks

    def stale(
        self, names: list[str], cycle: int, before: int, backward: Trail, earlier: Trail, now: Trail, *,
        evaluations: tuple[int, int] = (0, 0), added: bool = True,
    ) -> None:  # fmt: skip
        """A step used gradients that an earlier step had consumed. Seen with the numbers: twice is enough.

        evaluations: which ones of the closure the two are, if the steps have one; some call it more than once a step.
        added: backward had added to them; if not, it had reached other parameters only.
        """

        def finding() -> Finding:
            if max(evaluations) > 1:
                first, second = evaluations
                of = f" of step {before}" if before != cycle else ""
                who = f"evaluation {second} of the closure in step {cycle} of {self.kind}{place(now)}"
                whose, cure = f"what evaluation {first}{of} had made", "at the beginning of the closure"
            else:
                who = f"step {cycle} of {self.kind}{place(now)}"
                whose = f"what step {before}{place(earlier)} had consumed"
                cure = "after the step or before that backward"
            how = f"backward{place(backward)} added to them"
            if not added:
                how, cure = "backward has reached others since", "for all parameters of the optimizer"
            return Finding(
                "ZG101",
                f"{who} used gradients that still contained {whose}: {how}, and"
                f" nothing had cleared them in between ({some(names)}). Call zero_grad() {cure}.",
                names,
                list(dict.fromkeys((before, cycle))),
                sites_of(backward, now, earlier),
            )

        suspicion = self._see(("ZG101", now[:1]), cycle, finding)
        if suspicion.count >= 2:
            self._report(suspicion)
        if (said := suspicion.reported) is not None:
            said.parameters += [name for name in names if name not in said.parameters]

    def stale_by_hand(
        self, names: list[str], cycle: int, before: int, backward: Trail, earlier: Trail, clear: Trail
    ) -> None:
        """Weights were moved by hand along such gradients, before they were cleared and step ``cycle`` came."""

        def finding() -> Finding:
            return Finding(
                "ZG101",
                f"before step {cycle} of {self.kind} the weights were moved along gradients that still contained what"
                f" step {before}{place(earlier)} had consumed: backward{place(backward)} added to them, and nothing had"
                f" cleared them in between ({some(names)}). Call zero_grad() after the step.",
                names,
                [before, cycle],
                sites_of(backward, earlier, clear),
            )

        suspicion = self._see(("ZG101", earlier[:1], backward[:1], "by hand"), cycle, finding)
        if suspicion.count >= 2:
            self._report(suspicion)

    def kept_after_skip(self, names: list[str], cycle: int, backward: Trail, now: Trail) -> None:
        """A step was skipped for an overflow, and the gradients that had overflowed before were still there."""

        def finding() -> Finding:
            return Finding(
                "ZG101",
                f"after step {cycle} of {self.kind} a step{place(now)} was skipped for an overflow, once more: backward"
                f"{place(backward)} had added to the gradients of a step that was skipped before, and nothing had"
                f" cleared them ({some(names)}). Call zero_grad() before backward, after a skipped step too.",
                names,
                [cycle],
                sites_of(backward, now),
            )

        suspicion = self._see(("ZG101", now[:1], backward[:1], "skipped"), cycle, finding)
        if suspicion.count >= 2:
            self._report(suspicion)

    def repeated(
        self, names: list[str], cycle: int, before: int, earlier: Trail, now: Trail, *, by_hand: bool
    ) -> None:  # fmt: skip
        """A step used the very gradients of the step before. by_hand: they had been assigned."""

        def finding() -> Finding:
            what = "others were assigned" if by_hand else "backward ran"
            return Finding(
                "ZG111",
                f"step {cycle} of {self.kind}{place(now)} used the same gradients as step {before}{place(earlier)}: no "
                f"{what} between them ({some(names)}). Take one of the two steps out.",
                names,
                [before, cycle],
                sites_of(now, earlier),
            )

        suspicion = self._see(("by hand" if by_hand else "ZG111", now[:1], earlier[:1]), cycle, finding)
        if suspicion.count >= 2:
            self._report(suspicion)

    def cleared_away(
        self, names: list[str], cycle: int, backward: Trail, clear: Trail, now: Trail, *, used: bool
    ) -> None:
        """A step found nothing because a clear came between backward and it.

        used: whether other steps have used what backward writes at that line; then a step that finds nothing now and
        then is the program's way to leave a batch out.
        """

        def finding() -> Finding:
            where = place(clear) or " before it"
            return Finding(
                "ZG103",
                f"step {cycle} of {self.kind}{place(now)} found no gradient: what backward{place(backward)} had"
                f" written was cleared{where} before any step had used it ({some(names)}). Clear before backward"
                " or after the step.",
                names,
                [cycle],
                sites_of(backward, now, clear),
            )

        self.empty += 1
        suspicion = self._see(("ZG103", now[:1]), cycle, finding)
        if suspicion.streak >= (REGULAR if used else 2) or (suspicion.count >= SURE and not used):
            self._report(suspicion)

    def nothing(
        self, names: list[str], cycle: int, now: Trail, *, backwards: list[Pass], expected: bool,
        others: Callable[[], Others | None],
    ) -> None:  # fmt: skip
        """A step found nothing, and no backward had written anything.

        backwards: the passes since the last step, which have not reached these parameters. expected: a forward pass or
        a clear says that this was meant to be a training step. others: gives what a backward has reached instead.
        """

        def finding() -> Finding:
            instead = suspicion.others
            if instead is None:
                why = "no backward has reached its parameters since the step before"
                cure = "Call loss.backward() before the step, for a loss that hangs on them"
            elif not instead.names:
                why = f"backward{place(instead.backward)} has reached none of its parameters"
                cure = "Call the step of the optimizer that it is for, or backward for a loss that hangs on these"
            else:
                owners = instead.owners()
                whose = f" of {' and '.join(owners)}" if owners else ", which no optimizer has"
                why = f"backward{place(instead.backward)} has reached other parameters{whose} ({some(instead.names)})"
                if owners:
                    cure = "Call the step of the optimizer that has those, or compute the loss with these"
                else:
                    cure = (
                        "Was the model replaced, moved or copied after the optimizer was built? Build the optimizer"
                        " from the parameters of the model that is trained"
                    )
                why += ", and none of its own"
            nameless = instead is not None and instead.alike and all(map(is_place, names))
            own = instead.names if instead is not None and nameless else names
            return Finding(
                "ZG110",
                f"step {cycle} of {self.kind}{place(now)} found no gradient: {why} ({some(own)}). {cure}.",
                own,
                [cycle],
                sites_of(now, instead.backward if instead is not None else ()),
            )

        self.empty += 1
        if not self.used:
            self._began_with.setdefault(now, set()).update(ran.trail for ran in backwards)
        if not expected:
            return
        suspicion = self._see(("ZG110", now[:1]), cycle, finding)
        if suspicion.others is None or not suspicion.others.names:
            suspicion.others = others() or suspicion.others
        if suspicion.streak >= 2 and not backwards:
            self._report(suspicion)
        idle = self._idle.setdefault(now, Idle(finding))
        idle.count, idle.always = idle.count + 1, idle.always and bool(backwards)
        idle.passes = [*idle.passes, *backwards][-KEPT:]

    def frozen(self, names: list[str], cycle: int, now: Trail, others: Others) -> None:
        """A step found nothing, because all of its parameters are frozen, and backward has reached others instead.

        It is wrong only if these have no optimizer, which is looked up once.
        """

        def finding() -> Finding:
            return Finding(
                "ZG110",
                f"step {cycle} of {self.kind}{place(now)} found no gradient: all of its parameters are frozen"
                f" ({some(names)}), and backward{place(others.backward)} has reached other parameters, which no"
                f" optimizer has ({some(others.names)}). Build the optimizer from the parameters that are trained.",
                names,
                [cycle],
                sites_of(now, others.backward),
            )

        key = ("frozen", now[:1])
        known = self._suspicions.get(key)
        if known is not None and known.checked:
            return
        suspicion = self._see(key, cycle, finding)
        if suspicion.reported is None and suspicion.streak >= SURE:
            suspicion.checked = bool(others.owners())
            if not suspicion.checked:
                self._report(suspicion)

    def counted(self, passes: Mapping[Trail, int], now: Trail) -> None:
        """A step used so many passes from each line."""
        self._used_at.add(now)
        for where, count in passes.items():
            self._windows[where] = max(self._windows.get(where, 0), count)

    def one_behind(self, names: list[str], cycle: int, backward: Trail, now: Trail) -> None:
        """The program has ended with gradients that no step has used, at a line where steps do use them.

        It counts only if before all others a step at the same line found nothing, and came before that backward.
        backward: empty, if gradients are assigned.
        """
        if now not in self._began_with or backward in self._began_with[now]:
            return
        after = f"backward{place(backward)}" if backward else "they are assigned"
        finding = Finding(
            "ZG110",
            f"the first step of {self.kind}{place(now)} found no gradient, because it comes before {after} in its cycle"
            f": every step uses the gradients of the cycle before, and those of the last one were never used"
            f" ({some(names)}). Call the step after {'backward' if backward else 'that'}.",
            names,
            [1, cycle],
            sites_of(now, backward),
        )
        self._report(self._see(("ZG110", "one behind"), cycle, lambda: finding))

    def discarded(
        self, names: list[str], cycle: int, backward: Trail, clear: Trail, now: Trail, *, passes: int, checked: bool,
        looped: bool = False, retried: bool = False,
    ) -> None:  # fmt: skip
        """A clear threw away what backward had written, and the step ``cycle`` came without it.

        passes: how many of that line it threw away. checked: it was looked whether they had another purpose.
        looped: the step comes after a loop round backward and clear, whose number of rounds may change. retried: an
        error may lead from backward to clear, so that what happens now and then is no window's rest.
        """
        key = ("ZG105", backward, now[:1])

        def finding() -> Finding:
            tail = self._is_tail(backward, suspicion)
            where = place(clear) or " outside zero_grad()"
            cure = "Step on what the last, shorter window has left." if tail else "Clear only after a step."
            return Finding(
                "ZG106" if tail else "ZG105",
                f"gradients that backward{place(backward)} had written were cleared{where}, before step"
                f" {cycle}{place(now)}, and no step of {self.kind} had used them ({some(names)}). {cure}",
                names,
                [cycle],
                sites_of(backward, now, clear),
            )

        suspicion = self._see(key, cycle, finding)
        suspicion.checked |= checked
        suspicion.retried |= retried
        suspicion.first = suspicion.first or self.used
        if passes != suspicion.passes:
            suspicion.streak, suspicion.passes = 1, passes
        always = suspicion.first <= 2 and suspicion.count >= self.used - suspicion.first + 1
        suspicion.sizes[passes] += 1
        # Steps that leave out a batch now and then, for their own reasons, do so some times in a row too.
        enough = LONG if passes == 1 else SURE if always else REGULAR
        regular = suspicion.streak >= enough and self._is_regular(suspicion)
        regular |= looped and always and suspicion.count >= REGULAR
        if regular or (suspicion.count >= 2 and self._is_tail(backward, suspicion)):
            self._report(suspicion)

    def never_stepped(self, names: list[str], last: int, backward: Trail, clear: Trail, *, passes: int) -> None:
        """The program has ended, and what so many backward passes had written was cleared with no step to use it.

        last: the number of the last step there was; it came before all of them.
        """
        where = place(clear) or " outside zero_grad()"
        since = f"the last step was step {last}, before that" if last else "step() was never called"
        finding = Finding(
            "ZG105",
            f"no step of {self.kind} has used the gradients that backward{place(backward)} had written: they were"
            f" cleared{where}, and {since} ({some(names)}). Call step() after backward.",
            names,
            [last] if last else [],
            sites_of(backward, clear),
        )
        suspicion = self._see(("ZG105", backward), last, lambda: finding)
        suspicion.count = passes
        self._report(suspicion)

    def _is_regular(self, suspicion: Suspicion) -> bool:
        """Whether most cycles since the first one that threw passes away have thrown away the same number of them."""
        return 2 * max(suspicion.sizes.values(), default=0) > self.used - suspicion.first + 1

    def _is_tail(self, backward: Trail, suspicion: Suspicion) -> bool:
        """Whether it happens now and then at a line whose passes a step uses by the window: what a window has left."""
        rest = suspicion.passes < self._windows.get(backward, 0) and suspicion.streak < 2
        return rest and not suspicion.retried

    def absolve(self, backward: Trail) -> None:
        """What was thrown away at this line was meant to be."""
        for key in [k for k in self._suspicions if k[0] == "ZG105" and k[1] == backward]:
            if self._suspicions[key].reported is None:
                del self._suspicions[key]

    # ----------------------------------------------------------------------------------------------------- the end

    def close(self) -> None:
        """The program has ended or the optimizer is gone: what is confirmed by all there was to see is reported."""
        steps = self.used + self.empty
        for (code, where, *_), suspicion in list(self._suspicions.items()):
            often = 2 * suspicion.count >= steps
            if (
                code in ("ZG101", "ZG111")
                or (code == "ZG103" and often)
                or (code == "ZG110" and not self.used and suspicion.count >= 2)
                or (code == "ZG105" and suspicion.checked and often and self._is_regular(suspicion))
                or (code == "ZG105" and suspicion.checked and self._is_tail(where, suspicion))
            ):
                self._report(suspicion)
        for now, idle in self._idle.items():
            # The step is called for gradients of others: it never found any, and those never had a step.
            alone = idle.always and not any(ran.consumers or ran.excused for ran in idle.passes)
            if self.used and idle.count >= SURE and alone and now not in self._used_at:
                known = self._see(("ZG110", now), 0, idle.finding)
                known.count = idle.count
                self._report(known)
