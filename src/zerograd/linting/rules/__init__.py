"""The rules: one rule, one file, named like its entry in the catalogue of hazards.

A rule of the flow looks at one function at a time, with all that it calls; a rule of the file at the tree of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from zerograd.linting.binding import Binder
from zerograd.linting.context import Context, Told
from zerograd.linting.modules import Module
from zerograd.linting.rules import (
    zg101_missing_zero_grad,
    zg102_missing_zero_second_optimizer,
    zg103_zero_between_backward_and_step,
    zg104_step_before_backward,
    zg105_zero_inside_accumulation_window,
    zg106_dropped_last_window,
    zg107_loss_not_divided_in_window,
    zg108_not_called,
    zg109_zero_once_outside_step_loop,
    zg110_step_without_backward,
    zg111_double_step,
    zg112_same_optimizer_twice,
    zg113_missing_step,
)

OF_THE_FLOW: dict[str, Callable[[Context], Iterator[Told]]] = {
    "ZG101": zg101_missing_zero_grad.check,
    "ZG102": zg102_missing_zero_second_optimizer.check,
    "ZG103": zg103_zero_between_backward_and_step.check,
    "ZG104": zg104_step_before_backward.check,
    "ZG105": zg105_zero_inside_accumulation_window.check,
    "ZG106": zg106_dropped_last_window.check,
    "ZG107": zg107_loss_not_divided_in_window.check,
    "ZG109": zg109_zero_once_outside_step_loop.check,
    "ZG110": zg110_step_without_backward.check,
    "ZG111": zg111_double_step.check,
    "ZG113": zg113_missing_step.check_flow,
}
OF_THE_FILE: dict[str, Callable[[Module, Binder], Iterator[Told]]] = {
    "ZG101": zg101_missing_zero_grad.check_by_hand,
    "ZG108": zg108_not_called.check,
    "ZG112": zg112_same_optimizer_twice.check,
    "ZG113": zg113_missing_step.check,
}
CODES = tuple(sorted({*OF_THE_FLOW, *OF_THE_FILE}))
