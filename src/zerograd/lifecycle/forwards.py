"""Whether modules run forward: a step that found nothing after a forward pass was meant to train, but perhaps others.

An optimizer that was built before its model was replaced or copied holds parameters that no backward reaches any more.
Its step finds nothing, and the parameters that backward does reach belong to the modules that run.
"""

from __future__ import annotations

import weakref
from typing import Any

from torch.nn.modules.module import register_module_forward_pre_hook

from zerograd.lifecycle.lives import KEPT, hooked, tidied
from zerograd.lifecycle.sites import Trail, trail


class Forwards:
    """Counts the calls of modules, of all there are, from ``begin()`` to ``stop()``. count: may be set anew.

    reached: the parameters of others that they have used and a backward has written to; weak references, by id, each
    with a name and the line of the backward.
    """

    def __init__(self) -> None:
        self.count = 0
        self.reached: dict[int, tuple[Any, str, Trail]] = {}
        self._own: set[int] = set()
        self._others: dict[int, tuple[Any, Any]] = {}
        self._handle: Any = None

    def begin(self, own: set[int]) -> None:
        """Count from now on, if that is not done already. own: the ids of parameters that are no others'."""
        self._own = own
        if self._handle is None:
            self._handle = register_module_forward_pre_hook(self._called)

    def all_reached(self) -> list[tuple[Any, str, Trail]]:
        """``reached``, in the order in which forward has used them."""
        return [self.reached[key] for key in self._others if key in self.reached]

    def renew(self) -> None:
        """A step has come: what follows belongs to the next one."""
        self.count = 0
        self.reached.clear()

    def stop(self) -> None:
        """Count no more."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
            for ref, handle in self._others.values():
                handle.remove()
                if (p := ref()) is not None:
                    tidied(p)
            self._others.clear()

    def _called(self, module: Any, *_: Any) -> None:
        self.count += 1
        for name, p in module._parameters.items():
            key = id(p)
            if p is not None and p.requires_grad and p.is_leaf and key not in self._own and len(self._others) < KEPT:
                known = self._others.get(key)
                if known is None or known[0]() is not p:
                    noting = self._noting(key, weakref.ref(p), f"{type(module).__name__}.{name}")
                    self._others[key] = weakref.ref(p), hooked(p, noting)

    def _noting(self, key: int, ref: Any, name: str) -> Any:
        def arriving(_: Any) -> None:
            self.reached[key] = ref, name, trail()

        return arriving
