"""Functions that torch.compile leaves alone: it neither traces into them nor compiles what they call.

torch's own decorators for this import the compiler when they are applied or at the first call, which takes seconds.
What they tell it is light: an attribute on the function, which is read where a traced function calls it, and a mark
on its code, which is read where the function is called for real. A mark costs nothing at a call.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, TypeVar

from torch import _compile
from torch._C._dynamo import eval_frame

F = TypeVar("F", bound=Callable[..., Any])

REASON = (
    "an optimizer runs compiled kernels of its own, which torch.compile can't see into. "
    "Leave fullgraph=True out, or call the optimizer outside the compiled function"
)


def untraced(function: F) -> F:
    """``function`` itself, with its marks; with a torch that can't mark code, in torch's own wrapper.

    The mark is the code object's: functions that one ``def`` made share it.
    """
    code = getattr(function, "__code__", None)
    mark = getattr(eval_frame, "set_code_exec_strategy", None)
    if mark is None or not isinstance(code, types.CodeType):
        wrapped: F = _compile._disable_dynamo(function)  # type: ignore[assignment]
        return wrapped
    skip = eval_frame._FrameAction.SKIP
    mark(code, eval_frame._FrameExecStrategy(skip, skip))
    function._torchdynamo_disable = True  # type: ignore[attr-defined]
    function._torchdynamo_disable_msg = REASON  # type: ignore[attr-defined]
    return function
