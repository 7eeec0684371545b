"""Loss scaling: what torch.amp.GradScaler and an optimizer have agreed on (Micikevicius et al. 2018, mixed precision).

A scaler that finds an optimizer able to unscale by itself leaves the gradients scaled, always calls ``step``, and for
that call sets two attributes: ``found_inf``, 0-dim, more than 0 if a gradient is not finite, and ``grad_scale``, 0-dim,
what the loss was multiplied by, or None if the gradients were unscaled before. So unscaling costs no pass of its own.
"""

from __future__ import annotations

import sys
from typing import Any

from zerograd.lifecycle.light import are_light

_SCALERS = "torch.amp.grad_scaler"
"""The module that GradScaler is defined in, and with it every class made from it that leaves its ``step`` alone."""


_UNSCALING = ("unscale_", "_maybe_opt_step")
"""What a scaler does for an optimizer that does not unscale, and not for one that does."""


class UnscalingSteps:
    """The attribute ``_step_supports_amp_scaling``: whether an optimizer's step unscales. Yes, if the scaler asks.

    Others ask in order to refuse what they do (Lightning: clipping), and then unscale first, which is fine too. No, if
    somebody's code comes before the step or after it, as it would see scaled gradients, and steps that are none: a
    hook, a subclass with a step of its own, a function in the place of the step (so Accelerate tells a step that was
    left out; torch's schedulers put one there too, and mark theirs). And no, if the scaler's class unscales in a way of
    its own: ShardedGradScaler asks the other processes there, and a step by itself would be left out on one of them.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner = owner

    def __get__(self, optimizer: Any, kind: type | None = None) -> bool:
        asking = sys._getframe(1)
        if optimizer is None or asking.f_globals.get("__name__") != _SCALERS:
            return False
        scaler, plain = type(asking.f_locals.get("self")), asking.f_globals["GradScaler"]
        if any(getattr(scaler, name, None) is not getattr(plain, name) for name in _UNSCALING):
            return False
        own = optimizer.__dict__.get("step")
        if own is not None and not getattr(own, "_wrapped_by_lr_sched", False):
            return False
        return type(optimizer).step is getattr(self._owner, "step", None) and are_light(optimizer)


def step_scale(attributes: dict[str, Any]) -> float | None:
    """What the gradients of this step are multiplied by, from an optimizer's attributes; None if one is not finite."""
    found = attributes["found_inf"]
    if isinstance(found, int):  # a sum over no device
        raise AssertionError(
            "No inf checks were recorded for this optimizer: the scaler found no gradients of its parameters; call "
            "scaler.scale(loss).backward() first, for a loss that hangs on them"
        )
    if float(found) > 0:
        return None
    scale = attributes.get("grad_scale")
    return 1.0 if scale is None else 1.0 / float(scale)
