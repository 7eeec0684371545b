"""ZG109: gradients are cleared once, outside of the loop in which backward and step repeat."""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.cycles import uncleared


def check(context: Context) -> Iterator[Told]:
    for cycle in uncleared(context):
        if not cycle.cleared_outside:
            continue
        view = cycle.view
        clear = view.event(cycle.cleared_outside[-1])
        step, backward = view.event(cycle.step), view.event(cycle.backward)
        yield context.tell(
            "ZG109",
            clear,
            f"zero {context.line(clear)} is outside of the loop that runs backward {context.line(backward)}, "
            f"step {context.line(step)}, backward again: call `{view.path}.zero_grad()` in every iteration",
            also=[step, backward],
        )
