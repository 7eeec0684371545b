"""Who serves a parameter in a step: a compiled kernel or the eager backend. The tests of this folder ask here only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from zerograd.engine import admission
from zerograd.engine.gathering import Gathering
from zerograd.engine.plan import Plan


@contextmanager
def eagerly() -> Iterator[None]:
    """Inside, the gate lets nothing through."""
    with patch.object(admission, "layout_of", lambda *_: None):
        yield


@contextmanager
def watched() -> Iterator[set[int]]:
    """The ids of the parameters that compiled kernels have served inside by their own memory and their gradients':
    gathered for a step, or taken from a plan. (Copies of gradients lie in nobody's way.)"""
    served: set[int] = set()
    keep, take, go_on = Gathering.keep, Plan.take, Plan.keep

    def kept(gathering: Gathering) -> None:
        served.update(id(p) for bucket in gathering.lasting for p in bucket.params)
        keep(gathering)

    def taken(plan: Plan, scale: float) -> bool:
        fits = take(plan, scale)
        served.update(plan.covered if fits else ())
        return fits

    def gone_on(plan: Plan) -> None:
        served.update(plan.covered)
        go_on(plan)

    with patch.multiple(Gathering, keep=kept), patch.multiple(Plan, take=taken, keep=gone_on):
        yield served


def served_by_kernels(optimizer: Any) -> set[int]:
    """Takes a step; the ids of the parameters that compiled kernels served."""
    with watched() as served:
        optimizer.step()
    return served
