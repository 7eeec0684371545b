"""Whether modules run forward: a step that found nothing after a forward pass was meant to train."""

from __future__ import annotations

from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook


class Forwards:
    """Counts the calls of modules, of all there are, from ``begin()`` to ``stop()``. count: may be set anew."""

    def __init__(self) -> None:
        self.count = 0
        self._handle: Any = None

    def begin(self) -> None:
        """Count from now on, if that is not done already."""
        if self._handle is None:
            self._handle = register_module_forward_pre_hook(self._called)

    def stop(self) -> None:
        """Count no more."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _called(self, *_: Any) -> None:
        self.count += 1
