"""ZG102: of two optimizers in one loop, one steps and is never cleared, while the other one is."""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.cycles import uncleared
from zerograd.linting.rules.zg101_missing_zero_grad import others_are_cleared


def check(context: Context) -> Iterator[Told]:
    for cycle in uncleared(context):
        if cycle.cleared or not others_are_cleared(context, cycle):
            continue
        view = cycle.view
        step, backward = view.event(cycle.step), view.event(cycle.backward)
        yield context.tell(
            "ZG102",
            step,
            f"backward {context.line(backward)}, step {context.line(step)}, backward again: another optimizer is "
            f"cleared here and `{view.path}` never is; call `{view.path}.zero_grad()` before its backward",
            also=[backward],
        )
