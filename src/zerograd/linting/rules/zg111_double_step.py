"""ZG111: two steps of one optimizer with no backward between: the same gradients are used twice."""

from __future__ import annotations

from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN


def check(context: Context) -> Iterator[Told]:
    told: set[int] = set()
    for view in context.views:
        for node in view.of(STEP):
            following = view.after(node, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
            again = following - {node}
            if not view.are(following, STEP) or not again or min(again) in told:
                continue
            before = view.before(node, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
            if not {view.kinds.get(at, "") for at in before} <= {BACKWARD, CLEAR, ""} or not view.of(BACKWARD):
                continue
            second = min(again)
            told.add(second)
            first, repeated = view.event(node), view.event(second)
            yield context.tell(
                "ZG111",
                repeated,
                f"step {context.line(first)}, step {context.line(repeated)}: "
                f"`{view.path}` uses the same gradients twice; "
                f"remove one of the steps, or run backward between them",
                also=[first],
            )
