"""What an optimizer keeps knows its owner, but does not keep it alive: an optimizer that nobody uses any more has to be
free at once, with its parameters and state, and not when Python next looks for cycles."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer


class Owned:
    """Base of what belongs to one optimizer and lives no longer than it."""

    def __init__(self, optimizer: RuleOptimizer) -> None:
        self._owner = weakref.ref(optimizer)

    @property
    def optimizer(self) -> RuleOptimizer:
        owner = self._owner()
        assert owner is not None
        return owner
