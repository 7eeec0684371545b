"""Drawn cases: whatever tensors look like and whatever happens to them between steps, the compiled kernels
and the gate before them do what the eager backend does with the same tensors, and touch nothing else.

Tolerances. float32 and float64: products and sums may be contracted and sums of a norm are added in another order, so
a few units in the last place of the largest number that takes part. Half formats: both sides round once from such
numbers, so they are equal or neighbours.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, TypeGuard

import pytest
import torch
from torch import Tensor

import zerograd
from admission.canaries import meet, places, touched, walkable
from admission.events import happen, share_states, tensor_states
from admission.serving import eagerly, watched
from admission.worlds import Case, World, drawn

CASES = 1620
PARTS = 6
STEPS = 3
TABLE: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01, "maximize": True}),
    ("Lion", {"lr": 0.01, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "centered": True, "momentum": 0.9}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1}),
    ("NAdam", {"lr": 0.01}),
    ("LAMB", {"lr": 0.01, "weight_decay": 0.1}),
]
ULPS = 8
"""Of the largest number. RMSprop's centred variance is a difference of near numbers; all others stay within 2."""
BY_TORCH = ("more than one element", "some elements of the input", "negation inputs")
"""Of errors that torch's operations raise in the middle of a step: elements share a place, or hold the opposite."""


class Fuzz:
    """One case in three worlds, and what was counted."""

    def __init__(self, case: Case, counted: Counter[str]) -> None:
        self.case, self.counted = case, counted
        self.served: set[int] = set()
        make = getattr(zerograd, case.name)
        self.ours, self.eager = World(case, make), World(case, make)
        self.torch: World | None = None
        # torch computes in the parameter's dtype, and NAdam's product of momenta always in float32.
        exact = all(d.dtype == d.grad_dtype and d.dtype.itemsize >= 4 for d in case.params)
        exact = exact and (case.name != "NAdam" or all(d.dtype == torch.float32 for d in case.params))
        if hasattr(torch.optim, case.name) and exact and not case.sharing and not case.events:
            self.torch = World(case, lambda *a, **k: getattr(torch.optim, case.name)(*a, **k, foreach=False))

    def run(self) -> None:
        for step in range(STEPS):
            for world in (self.ours, self.eager, self.torch):
                if world is not None:
                    self._prepare(world, step)
            if not self._step(step):
                return
            self._compare()
            self._equalize()

    def _prepare(self, world: World, step: int) -> None:
        relevant = [event for event in self.case.events if event.step == step]
        for event in relevant:
            if event.what.startswith(("data", "state")):
                happen(world, event)
        world.give_gradients(step)
        for event in relevant:
            if not event.what.startswith(("data", "state")):
                happen(world, event)
        if self.case.sharing == "state" and step == 1:
            share_states(world)

    def _step(self, step: int) -> bool:
        """One step of all; False if it was refused, by both."""
        ours = self.ours
        grads = [None if p.grad is None else p.grad.clone() for p in ours.params]
        before = [memory.bytes.clone() for memory in ours.memories]
        with watched() as self.served:
            raised = _raised(ours.optimizer)
        with eagerly():
            expected = _raised(self.eager.optimizer)
        assert _sort(raised) == _sort(expected), f"{raised!r} instead of {expected!r}"
        assert all(memory.intact() for memory in ours.memories), "a canary has changed"
        assert all(memory.intact() for memory in self.eager.memories), "the eager backend changed a canary"
        if raised is not None:
            same = all(torch.equal(m.bytes, kept) for m, kept in zip(ours.memories, before, strict=True))
            assert same or _sort(raised) in BY_TORCH, f"a step that was refused changed something: {raised}"
            self.counted["raised"] += 1
            return False
        if self.torch is not None:
            self.torch.optimizer.step()
        self._check_gate(step)
        written = [touched(t) for p in ours.params for t in (p, *self._states(p))]
        for p, g in zip(ours.params, grads, strict=True):
            if g is not None and p.grad is not None and p.grad.layout == torch.strided:
                aliased = any(meet(touched(p.grad), one) for one in written)
                assert aliased or torch.equal(p.grad, g), "a gradient has changed"
        return True

    def _states(self, p: Tensor, world: World | None = None) -> list[Tensor]:
        world = world or self.ours
        return [world.optimizer.state[p][name] for name in tensor_states(world, p)]

    def _check_gate(self, step: int) -> None:
        """What kernels touch is fit for them, judged element by element; and at first all that is fit is touched."""
        live = [p for p in self.ours.params if p.grad is not None]
        inside = [p for p in live if id(p) in self.served]
        for p in inside:
            assert p.grad is not None
            assert p.grad.layout == torch.strided
            assert walkable(p, [p.grad, *self._states(p)]), f"a kernel walks over {p.stride()}, {p.grad.stride()}"
        assert not _collide([(p, p.grad, self._states(p)) for p in inside]), "kernels touch memory of each other"
        self.counted["compiled"] += len(inside)
        self.counted["eager"] += len(live) - len(inside)
        if step == 0 and not self.case.sharing:
            for p in live:
                assert p.grad is not None
                if not p.numel():
                    continue  # nothing to touch: either way is right
                assert id(p) in self.served or not walkable(p, [p.grad]), f"refused: {p.stride()}, {p.grad.stride()}"

    def _tangled(self) -> list[int]:
        """Parameters that share memory with another one which the other backend serves. What comes of it hangs on who
        is first, as with any two backends of torch."""
        own = [[touched(t) for t in (p, *self._states(p))] for p in self.ours.params]
        read = [[touched(p.grad)] if _is_dense(p.grad) else [] for p in self.ours.params]
        return [
            i
            for i, p in enumerate(self.ours.params)
            for j, q in enumerate(self.ours.params)
            if (id(p) in self.served) != (id(q) in self.served)
            and any(meet(a, b) for x, y in ((i, j), (j, i)) for a in own[x] for b in (*own[y], *read[y]))
        ]

    def _compare(self) -> None:
        tangled = self._tangled()
        self.counted["tangled"] += len(tangled)
        for i, (p, q) in enumerate(zip(self.ours.params, self.eager.params, strict=True)):
            if i in tangled:
                continue
            largest = [q.detach(), *([] if q.grad is None else [q.grad.to_dense()]), *self._states(q, self.eager)]
            scale = max([1.0, *(t.double().abs().max().item() for t in largest if t.numel())])
            close(f"parameter {i}", p.detach(), q.detach(), scale, q)
            mine, theirs = self.ours.optimizer.state.get(p, {}), self.eager.optimizer.state.get(q, {})
            assert mine.keys() == theirs.keys()
            for name in mine:
                assert mine[name].dtype == theirs[name].dtype
                assert [*mine[name].shape] == [*theirs[name].shape]
                close(f"{name} of {i}", mine[name], theirs[name], scale, q)
        if self.torch is not None:
            for p, q in zip(self.ours.params, self.torch.params, strict=True):
                close("torch's parameter", p.detach(), q.detach(), 1.0, q)
            self.counted["compared with torch"] += 1

    def _equalize(self) -> None:
        """Both go on from the very same bits: differences don't add up."""
        for mine, theirs in zip(self.ours.memories, self.eager.memories, strict=True):
            mine.bytes.copy_(theirs.bytes)
        for p, q in zip(self.ours.params, self.eager.params, strict=True):
            for mine, theirs in zip(self._states(p), self._states(q, self.eager), strict=True):
                mine.copy_(theirs)


def close(name: str, got: Tensor, wanted: Tensor, scale: float, p: Tensor) -> None:
    """Within a few units in the last place of the computation, and for half formats one of their own."""
    a, b = got.double(), wanted.double()
    # A step is computed in float64 only if something is stored so, and then all of it.
    exact = 2.0**-23 if p.dtype != torch.float64 else 2.0**-52
    stored = torch.finfo(got.dtype)
    rounding = b.abs() * stored.eps + stored.smallest_normal if stored.bits == 16 else 0.0
    bad = ~((a - b).abs() <= ULPS * exact * scale + rounding) & (a != b) & ~(a.isnan() & b.isnan())
    assert not bad.any(), f"{name}: {got[bad].tolist()} instead of {wanted[bad].tolist()}"


def _raised(optimizer: Any) -> str | None:
    """Takes a step; what it raised."""
    try:
        optimizer.step()
    except (RuntimeError, ValueError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _is_dense(g: Tensor | None) -> TypeGuard[Tensor]:
    return g is not None and g.layout == torch.strided


def _sort(raised: str | None) -> str | None:
    """One of torch's own errors, whichever comes first; any other as it is."""
    return BY_TORCH[0] if raised is not None and any(part in raised for part in BY_TORCH) else raised


def _collide(served: list[tuple[Tensor, Any, list[Tensor]]]) -> bool:
    """Whether something that one of these writes is read or written by another, or twice by the same."""
    written = [touched(t) for p, _, states in served for t in (p, *states)]
    read = [touched(g) for _, g, _ in served]
    pairs = [(a, b) for i, a in enumerate(written) for b in written[i + 1 :]] + [(a, b) for a in written for b in read]
    return any(meet(a, b) for a, b in pairs)


@pytest.mark.parametrize("part", range(PARTS))
def test_compiled_kernels_do_what_the_eager_backend_does_and_touch_nothing_else(part: int) -> None:
    counted: Counter[str] = Counter()
    for number in range(part, CASES, PARTS):
        case = drawn(number, TABLE)
        try:
            Fuzz(case, counted).run()
        except Exception as error:
            raise AssertionError(f"{error}\n{case}") from error
    total = counted["compiled"] + counted["eager"]
    assert 0.5 < counted["compiled"] / total < 0.9, "neither side may be rare"
    assert counted["raised"] > 0
    assert counted["compared with torch"] > 0


def test_places_finds_every_element() -> None:
    assert places(torch.zeros(2, 3).t()) == [0, 3, 1, 4, 2, 5]
    assert places(torch.zeros(1).expand(3)) == [0, 0, 0]
