"""ZG111: two steps of one optimizer with no backward between: the same gradients are used twice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from zerograd.linting.context import Context, Told
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View


def check(context: Context) -> Iterator[Told]:
    told: set[int] = set()
    for view in context.views:
        for node in view.of(STEP):
            following = view.after(node, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
            again = following - {node}
            if not view.are(following, STEP) or not again or min(again) in told:
                continue
            before = view.before(node, BACKWARD, FOREIGN, STEP, CLEAR, UNKNOWN)
            second = min(again)
            allowed = {BACKWARD, CLEAR, UNKNOWN, ""} if _is_repeated(view, node, second) else {BACKWARD, CLEAR, ""}
            if not {view.kinds.get(at, "") for at in before} <= allowed or not view.of(BACKWARD):
                continue
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


def _is_repeated(view: View, first: int, second: int) -> bool:
    """Whether one call stands there twice, one right below the other: then nothing before it matters."""
    one, two = view.event(first), view.event(second)
    return (
        one.module is two.module
        and view.graph.guards[first] == view.graph.guards[second]
        and two.line - one.line == 1
        and ast.unparse(one.node) == ast.unparse(two.node)
    )
