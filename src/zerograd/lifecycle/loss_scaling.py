"""Loss scaling: what torch.amp.GradScaler and an optimizer have agreed on (Micikevicius et al. 2018, mixed precision).

A scaler that finds an optimizer able to unscale by itself leaves the gradients scaled, always calls ``step``, and for
that call sets two attributes: ``found_inf``, 0-dim, more than 0 if a gradient is not finite, and ``grad_scale``, 0-dim,
what the loss was multiplied by, or None if the gradients were unscaled before. So unscaling costs no pass of its own.
"""

from __future__ import annotations

import sys
from typing import Any

_SCALERS = "torch.amp.grad_scaler"
"""The module that GradScaler is defined in, and with it every class made from it that leaves its ``step`` alone."""


class UnscalingSteps:
    """The attribute ``_step_supports_amp_scaling``: whether an optimizer's step unscales. Yes, if the scaler asks.

    Others ask in order to refuse what they do (Lightning: clipping), and then unscale first, which is fine too. No, if
    somebody has put a function of his own in the place of the step, to see whether the scaler calls it: so Accelerate
    tells a step that was left out. (torch's schedulers do too, and mark theirs.)
    """

    def __get__(self, optimizer: Any, kind: type | None = None) -> bool:
        own = None if optimizer is None else optimizer.__dict__.get("step")
        counted = own is not None and not getattr(own, "_wrapped_by_lr_sched", False)
        return not counted and sys._getframe(1).f_globals.get("__name__") == _SCALERS


def step_scale(attributes: dict[str, Any]) -> float | None:
    """What the gradients of this step are multiplied by, from an optimizer's attributes; None if one is not finite."""
    if float(attributes["found_inf"]) > 0:
        return None
    scale = attributes.get("grad_scale")
    return 1.0 if scale is None else 1.0 / float(scale)
