"""ZG103: on every way a clear lies between backward and step, so the step finds no gradients."""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.discards import discarded
from zerograd.linting.wasted_gradients import wasted


def check(context: Context) -> Iterator[Told]:
    for found in discarded(context):
        if not found.direct:
            continue
        view = found.view
        backward, clear, step = (view.event(node) for node in (found.backward, found.clear, found.step))
        yield context.tell(
            "ZG103",
            clear,
            f"backward {context.line(backward)}, zero {context.line(clear)}, step {context.line(step)}: the gradients "
            f"are thrown away before `{view.path}` uses them; clear before backward or after the step",
            also=[backward, step],
        )

    for waste in wasted(context):
        if waste.step is None:
            continue
        view = waste.view
        backward, clear, step = (view.event(node) for node in (waste.backward, waste.clear, waste.step))
        yield context.tell(
            "ZG103",
            clear,
            f"backward {context.line(backward)}, zero {context.line(clear)}, another backward, step "
            f"{context.line(step)}: the gradients of the first are thrown away before `{view.path}` uses them; "
            f"clear before the first backward only",
            "warning",
            also=[backward, step],
        )
