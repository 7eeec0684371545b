"""What torch was asked to do."""

from __future__ import annotations

from typing import Any
from unittest import mock

from torch.utils._python_dispatch import TorchDispatchMode

from zerograd.engine import recording


class Asked(TorchDispatchMode):
    """The operations that torch was asked for, allocations included. A step does not know that it is watched: it would
    go through torch then, as it does under any other mode."""

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []
        self._hidden = mock.patch.object(recording, "_count_modes", return_value=0)

    def __enter__(self) -> Any:
        self._hidden.start()
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        self._hidden.stop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations.append(str(func))
        return func(*args, **(kwargs or {}))
