"""What a step that found its gradients in a certain state says about the cycle, and the end about the whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from zerograd.lifecycle.lives import BY_HAND, CONSUMED, FRESH, MIXED, PASSES, Life, Pass
from zerograd.lifecycle.ownership import owners_of
from zerograd.lifecycle.readers import is_in_loop_before, is_measured, is_tried_before, keeps_gradients
from zerograd.lifecycle.reading import is_zero, sampled
from zerograd.lifecycle.sites import Trail, is_handled
from zerograd.lifecycle.stamps import is_consumed, stamped
from zerograd.lifecycle.suspicions import Others

if TYPE_CHECKING:
    from zerograd.lifecycle.watching import Watch


@dataclass
class Loss:
    """What was thrown away of one backward pass since the last step."""

    ran: Pass
    clear: Trail
    lives: list[Life] = field(default_factory=list)
    by_hand: int = 0
    """How many of the parameters have been moved since."""
    taken: list[Life] = field(default_factory=list)
    """Those whose gradients the zero_grad of another optimizer has cleared."""

    @property
    def moved(self) -> bool:
        """Whether the weights were moved along the gradients; an embedding that keeps its norm is not all of them."""
        return 2 * self.by_hand > len(self.lives)


def used(watch: Watch, kinds: dict[Any, list[Life]], losses: list[Loss]) -> None:
    """A step used gradients: were others, that it should have used, thrown away since the step before?"""
    watch.judge.used += 1
    watch._forwards.stop()
    passes = {id(ran): ran for kind in (FRESH, MIXED) for life in kinds[kind] for ran in life.passes}
    for ran in passes.values():
        PASSES.share(ran, id(watch))
    watch.judge.counted(Counter(ran.trail for ran in passes.values()), watch._where)
    if losses and are_by_hand(kinds):
        for loss in losses:  # the gradients were kept and combined by hand
            watch.judge.absolve(loss.ran.trail)
        return
    watch._used_trails.update(ran.trail for ran in passes.values())
    counted: dict[Trail, list[Loss]] = {}
    for loss in losses:
        if not is_meant(watch, loss, passes):
            counted.setdefault(loss.ran.trail, []).append(loss)
    for where, lost in counted.items():
        loss = lost[0]
        if not loss.clear and is_handled(where):  # cleared by hand, and where an error may have led to it
            continue
        if keeps_gradients(where) or keeps_gradients(loss.clear):
            continue
        if where not in watch._used_trails and is_measured(where, loss.clear):
            continue
        names = watch.named(loss.lives)
        looped = where in watch._used_trails and is_in_loop_before(where, loss.clear, watch._where)
        looks = lost if looped else lost[:1]  # the passes of a line are looked at after the first that was lost
        checked = any(one.ran.outside is not None or one.ran.consumers for one in looks)
        watch.judge.discarded(
            names, watch.steps, where, loss.clear, watch._where, passes=len(lost), checked=checked, looped=looped,
            retried=is_tried_before(where, loss.clear),
        )  # fmt: skip


def are_by_hand(kinds: dict[Any, list[Life]]) -> bool:
    """Whether gradients have been overwritten after backward, or all of them assigned."""
    replaced = {life.is_replaced() for life in kinds[FRESH]}
    return not kinds[MIXED] and (True in replaced or (bool(kinds[BY_HAND]) and not replaced))


def is_meant(watch: Watch, loss: Loss, passes: dict[int, Pass]) -> bool:
    """Whether there is a good reason for throwing a pass away."""
    ran = loss.ran
    attack = ran.outside and ran.trail not in watch._used_trails
    if attack or loss.moved:  # an attack on the inputs; weights moved along the gradient by hand, as in SAM
        watch.judge.absolve(ran.trail)
        return True
    if watch._is_leak(ran):
        never = [life for life in loss.lives if life.by is None]
        if not never:
            watch.judge.absolve(ran.trail)
            return True
        loss.lives = never  # no step of anybody has ever used a gradient of these
    if ran.missed and id(watch) not in ran.missed:  # made for another optimizer, which says so itself
        return True
    if id(ran) in passes and loss.taken and not ran.excused:
        loss.lives = loss.taken
        return False
    return ran.excused or id(ran) in passes or id(watch) in ran.consumers


def stale(watch: Watch, kinds: dict[Any, list[Life]], *, again: bool) -> None:
    """A step is about to use gradients: has an earlier step consumed any of them? again: in the same step's closure."""
    stale_by_hand(watch)
    mixed, left = kinds[MIXED], []
    if not again and (mixed or kinds[FRESH]):
        left = [life for life in kinds[CONSUMED] + kinds[BY_HAND] if _is_left(watch, life)]
    if not mixed and not left:
        return
    life = (mixed or left)[0]
    watch.judge.stale(
        watch.named(mixed + left), watch.steps, life.step, life.passes[0].trail if life.passes else (),
        life.step_trail, watch._where, evaluations=(life.evaluation, watch.evaluation), added=bool(mixed),
    )  # fmt: skip


def _is_left(watch: Watch, life: Life) -> bool:
    """Whether what this watch's step has consumed is still there, clipped at most, while backward has reached others.

    That is not known when it is asked first.
    """
    g = _gradient_of(life)
    if g is None or stamped(g) is None or not life.natural or life.by is None or life.by() is not watch:
        return False
    asked, life.asked = life.asked, True
    if not asked or life.numbers is None or life.is_moved_by_hand():
        return False
    if is_consumed(g):
        return torch.equal(life.numbers[0], sampled(g)) and not is_zero(g)
    return life.is_replaced() is False


def _is_assigned(life: Life) -> bool:
    """Whether there is a gradient that was assigned after a step, and that no step has used."""
    life.look()
    g = _gradient_of(life)
    return life.kind is BY_HAND and life.step > 0 and g is not None and stamped(g) is None


def _gradient_of(life: Life) -> Any:
    """The gradient as it is now, or None."""
    p = life.parameter
    return None if p is None else p.grad


def stale_by_hand(watch: Watch) -> None:
    """Weights were moved by hand along gradients, as in SAM, that an earlier step had consumed already."""
    moved, watch._by_hand = watch._by_hand, []
    if moved:
        lives = [life for life, _, _ in moved]
        life, backward, clear = moved[0]
        watch.judge.stale_by_hand(watch.named(lives), watch.steps, life.step, backward, life.step_trail, clear)


def repeated(watch: Watch, lives: list[Life]) -> None:
    """A step found only what the step before had consumed."""
    lives = [life for life in lives if life.by is not None and life.by() is watch]
    natural = [life for life in lives if life.natural]
    lives = natural or [life for life in lives if life.renewed]  # some assign one gradient, for many steps
    if lives and not any(life.is_moved_by_hand() for life in lives):
        life = lives[0]
        watch.judge.repeated(
            watch.named(lives), watch.steps, life.step, life.step_trail, watch._where, by_hand=not natural
        )


def empty(watch: Watch, losses: list[Loss]) -> None:
    """A step found nothing at all."""
    if not any(p is not None and p.requires_grad for p in (life.parameter for life in watch._lives)):
        found = None if PASSES.since(watch._passes) else others(watch, [])
        if found is not None:
            watch.judge.frozen(watch.named(watch._lives), watch.steps, watch._where, found)
        watch._forwards.begin({id(life.parameter) for life in watch._lives})
        return
    lost = [loss for loss in losses if not watch._is_leak(loss.ran)]
    for loss in lost:
        loss.ran.missed.add(id(watch))
    if lost:
        loss = lost[-1]
        if not loss.ran.excused:
            names, used = watch.named(loss.lives), loss.ran.trail in watch._used_trails
            watch.judge.cleared_away(names, watch.steps, loss.ran.trail, loss.clear, watch._where, used=used)
        return
    expected = watch._clears > 0 or watch._forwards.count > 0
    backwards = PASSES.since(watch._passes)
    if backwards and expected and not watch.judge.used:  # made for this one, as far as anybody can tell
        backwards[-1].missed.add(id(watch))
    watch.judge.nothing(
        watch.named(watch._lives), watch.steps, watch._where, backwards=backwards, expected=expected,
        others=lambda: others(watch, backwards),
    )  # fmt: skip
    watch._forwards.begin({id(life.parameter) for life in watch._lives})


def others(watch: Watch, backwards: list[Pass]) -> Others | None:
    """Which parameters backward has reached instead, since the step before."""
    reached = [(p, name, where) for ref, name, where in watch._forwards.all_reached() if (p := ref()) is not None]
    if not reached:
        return Others([], backwards[-1].trail) if backwards else None
    params, given, trails = zip(*reached, strict=True)
    own = [p.shape for p in (life.parameter for life in watch._lives) if p is not None]
    known = watch._names(SimpleNamespace(param_groups=[{"params": params, "param_names": given}]))
    names = [known[id(p)] for p in params]
    ids = set(map(id, params))
    return Others(names, trails[-1], lambda: owners_of(ids), alike=own == [p.shape for p in params])


def never_stepped(watch: Watch) -> None:
    """Backward after backward was thrown away, and no step has used any."""
    lost = [x for x in watch._lost.values() if not (x.ran.excused or x.ran.outside)]
    left = [(life, ran) for life in watch._lives for ran in life.passes if not ran.excused]
    moved = {x.ran.trail for x in lost if x.moved} | {ran.trail for life, ran in left if life.is_moved_by_hand()}
    lost = [x for x in lost if x.ran.trail not in moved and not keeps_gradients(x.ran.trail)]
    if watch._clears == 0:
        lost = [x for x in lost if not x.ran.consumers]
    rest = any(ran.trail not in moved for _, ran in left)
    if lost and len(lost) + rest >= 2:
        loss = lost[-1]
        names = watch.named(loss.lives)
        watch.judge.never_stepped(names, watch.steps, loss.ran.trail, loss.clear, passes=len(lost) + watch._lost_more)


def one_behind(watch: Watch) -> None:
    """Each step used the gradients of the cycle before: the first found none, and the last ones were never used."""
    left = [life for life in watch._lives if life.kind is FRESH and life.passes]
    last = next((ran for ran in left[0].passes if ran.trail in watch._used_trails), None) if left else None
    if last is not None and not last.excused:
        watch.judge.one_behind(watch.named(left), watch.steps, last.trail, watch._where)
    assigned = [life for life in watch._lives if _is_assigned(life)]
    if assigned and not left:
        watch.judge.one_behind(watch.named(assigned), watch.steps, (), watch._where)
