"""ZG104: the step comes before backward, and what backward gives is cleared before the next step."""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.discards import discarded


def check(context: Context) -> Iterator[Told]:
    for found in discarded(context):
        if found.direct:
            continue
        view = found.view
        backward, clear, step = (view.event(node) for node in (found.backward, found.clear, found.step))
        yield context.tell(
            "ZG104",
            step,
            f"step {context.line(step)}, backward {context.line(backward)}, zero {context.line(clear)}: the step is "
            f"taken before this iteration's backward, and its gradients are cleared before the next step; "
            f"call `{view.path}.step()` after backward",
            also=[backward, clear],
        )
