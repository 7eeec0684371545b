"""Optimizers that nobody watches closely, and why a watch wants to know of their steps."""

from __future__ import annotations

from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook

from zerograd.lifecycle.light import Light
from zerograd.lifecycle.lives import PASSES


class Outsiders:
    """The steps of optimizers that nobody watches closely, seen as long as any watch is armed: a guard on a
    discriminator is to know that the generator's backward was made for the generator."""

    def __init__(self) -> None:
        self._armed = 0
        self._handle: Any = None

    def count(self, more: int) -> None:
        """A watch has been armed (1), or disarmed (-1)."""
        self._armed += more
        if self._armed and self._handle is None:
            self._handle = register_optimizer_step_post_hook(Light(self._stepped))
        elif not self._armed and self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _stepped(self, optimizer: Any, *_: Any) -> None:
        if not any(isinstance(hook, Light) for hook in optimizer._optimizer_step_pre_hooks.values()):
            for ran in PASSES.recent:
                if not ran.consumers:
                    ran.consumers.add(id(optimizer))


OUTSIDERS = Outsiders()
