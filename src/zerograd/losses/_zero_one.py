"""The part of the answers that are wrong: what one wants to know, and can't descend."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor

from zerograd.losses import _targets as asked
from zerograd.losses._reducing import WeightedLoss, check_reduction, exact, reduced

NO_GRADIENT = (
    "zero_one_loss has no gradient to train with: it is flat, so its gradient is 0, except where an answer changes, "
    "and there it jumps. Train with cross_entropy, hinge_loss or focal_loss, and read zero_one_loss as a metric, with "
    ".item() or under torch.no_grad()."
)


@torch.no_grad()
def _count(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    dtype = input.dtype if input.is_floating_point() else torch.get_default_dtype()
    count: Tensor | int = target.numel()
    if asked.asks_for_classes("zero_one_loss", input, target):
        asked.check_scores("zero_one_loss", input)
        dim = asked.class_dimension(input)
        input, target, ignored = asked.class_numbers("zero_one_loss", input, target, ignore_index)
        wrong = (input.argmax(dim) != target) | input.isnan().any(dim)
        losses = exact(wrong.to(dtype))
        count = count - ignored.sum()
        if weight is not None:
            asked.check_class_weights("zero_one_loss", "weight", weight, input.shape[dim])
            weights = weight[target].masked_fill(ignored, 0.0)
            losses, count = losses * weights, weights.sum()
        return reduced(losses.masked_fill(ignored, 0.0), reduction, count).to(dtype)
    if input.is_floating_point():
        low = -1 if asked.some_are(target, -1) else 0
        asked.check_labels("zero_one_loss", target, low, "With float scores a target is 0 or 1, or -1 or 1.")
        wrong = ((input > 0) != (target > 0)) | input.isnan()
    elif target.is_floating_point():
        raise TypeError(f"zero_one_loss: answers in {input.dtype} are compared with integers, not {target.dtype}.")
    else:
        wrong = input != target
    losses = exact(wrong.to(dtype))
    if weight is not None:
        asked.check_weights("zero_one_loss", weight, input)
        losses, count = losses * weight, weight.expand(input.shape).sum()
    return reduced(losses, reduction, count).to(dtype)


class _WithoutGradient(torch.autograd.Function):
    """``value``, which depends on ``input``, and whose gradient is refused."""

    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, value: Tensor) -> Tensor:  # noqa: ARG004
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Nothing has to be kept."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> NoReturn:  # noqa: ARG004
        raise RuntimeError(NO_GRADIENT)


def zero_one_loss(
    input: Tensor,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """1 for a wrong answer, 0 for a right one; the mean is 1 minus the accuracy.

    Args:
        input: scores in floating point, whose answer is the largest, ``(N, C, ...)`` or ``(C,)``; or one score for each
            target, whose answer is yes above 0; or the answers themselves, integers shaped like ``target``.
        target: class numbers ``(N, ...)`` or ``()``; or shaped like the scores, 0 or 1, or -1 or 1.
        weight: for classes ``(C,)``; else it broadcasts to ``input``. The mean divides by the weights' sum.
        ignore_index: samples of this class number count 0, and not at all in the mean.
        reduction: ``"sum"`` is the number of mistakes.

    Returns:
        One number; with ``"none"`` a tensor shaped like ``target``. A score that is NaN is a wrong answer.

    Raises:
        RuntimeError: ``backward`` was called: there is no gradient to train with. As a metric it works on tensors that
            require a gradient, too. IndexError, ValueError, TypeError: targets out of range, shapes, dtypes.
    """
    check_reduction(reduction)
    value = _count(input, target, weight, ignore_index, reduction)
    if not input.requires_grad:
        return value
    refused: Tensor = _WithoutGradient.apply(input, value)  # type: ignore[no-untyped-call]
    return refused


class ZeroOneLoss(WeightedLoss):
    """:func:`zero_one_loss` as a module, with the same options.

    Raises:
        ValueError: a reduction that does not exist.

    ::

        >>> import torch
        >>> from zerograd import losses
        >>> losses.ZeroOneLoss()(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0]))
        tensor(0.5000)
    """

    def __init__(self, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, reduction)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The part of the targets that the scores miss."""
        return zero_one_loss(
            input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )
