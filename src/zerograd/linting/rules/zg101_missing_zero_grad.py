"""ZG101: a loop runs backward and step again and again, and the gradients are cleared on no way round.

An error where the optimizer is made in the same function and all that is called is known, else a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.binding import Binder
from zerograd.linting.by_hand import hand_steps
from zerograd.linting.context import Context, Told
from zerograd.linting.cycles import Cycle, uncleared
from zerograd.linting.finding import Finding
from zerograd.linting.modules import Module
from zerograd.linting.split_cycles import cycles_over_methods
from zerograd.linting.state import CLEAR, UNKNOWN


def check(context: Context) -> Iterator[Told]:
    for cycle in uncleared(context):
        view = cycle.view
        if cycle.cleared_outside or (not cycle.cleared and others_are_cleared(context, cycle)):
            continue
        step, backward = view.event(cycle.step), view.event(cycle.backward)
        order = f"backward {context.line(backward)}, step {context.line(step)}, backward {context.line(backward)} again"
        if cycle.loop is None:
            order += " at the next call"
        certain = (
            cycle.loop is not None
            and view.alone
            and view.path.home is context.scope
            and context.binder.constructor(view.path) is not None
            and not cycle.cleared
            and not view.of(UNKNOWN)
        )
        yield context.tell(
            "ZG101",
            backward,
            f"{order}, {'not cleared on this way' if cycle.cleared else 'never cleared'}: "
            f"each step of `{view.path}` uses the sum of all gradients so far; "
            f"call `{view.path}.zero_grad()` before backward",
            "error" if certain else "warning",
            also=[step],
        )

    for found in cycles_over_methods(context):
        first, second = found.backward.lineno, context.line(found.step)
        yield context.tell(
            "ZG101",
            found.step,
            f"backward {first} in one method, step {second} in another, never cleared: "
            f"each step of `{found.view.path}` uses the sum of all gradients so far; "
            f"call `{found.view.path}.zero_grad()` before backward",
        )


def check_by_hand(module: Module, binder: Binder) -> Iterator[Told]:  # noqa: ARG001
    """The same where the steps are written out: ``p -= lr * p.grad``."""
    for found in hand_steps(module):
        first, second = found.backward.lineno, found.update.lineno
        message = (
            f"missing-zero-grad: backward {first}, step {second} by hand, backward {first} again, never cleared: each "
            f"step uses the sum of all gradients so far; set `.grad` to None after the step"
        )
        place = found.backward
        yield (
            Finding.at(module.source, first, place.col_offset, "ZG101", "warning", message),
            frozenset({first, place.end_lineno or first, second, found.loop.lineno}),
        )


def others_are_cleared(context: Context, cycle: Cycle) -> bool:
    """Whether another optimizer is cleared, in the same loop: then ZG102 says so."""
    loops = context.graph.loops
    return any(
        cycle.loop is None or cycle.loop in loops[node]
        for other in context.views
        if other is not cycle.view
        for node in other.of(CLEAR)
        if not other.event(node).made
    )
