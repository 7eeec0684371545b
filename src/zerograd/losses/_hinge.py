"""The hinge loss of support vector machines, for two classes and for many."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import relu

from zerograd.losses import _targets as asked
from zerograd.losses._reducing import WeightedLoss, check_reduction, exact, reduced

Multiclass = Literal["crammer_singer", "weston_watkins"]
MULTICLASS = ("crammer_singer", "weston_watkins")
CURE = "Labels of 0 and 1 become -1 and 1 by 2 * target - 1."


def hinge_loss(
    input: Tensor,
    target: Tensor,
    *,
    squared: bool = False,
    margin: float = 1.0,
    multiclass: Multiclass = "crammer_singer",
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """How far a score is from the right side of the margin.

    ::

        two classes, y = -1 or 1:    max(0, margin - y s)
        crammer_singer:              max(0, margin + max_{j != y} s_j - s_y)
        weston_watkins:              sum_{j != y} max(0, margin + s_j - s_y) / C

    ``squared`` squares each max(0, ...).

    Args:
        input: scores in floating point. For classes ``(N, C, ...)`` or ``(C,)``.
        target: -1 or 1, shaped like ``input``; or class numbers ``(N, ...)`` or ``()``, integers.
        squared: the squared hinge, which has a gradient everywhere.
        margin: 0 (the perceptron's loss) or more.
        multiclass: ``"crammer_singer"`` counts the strongest wrong class, as scikit-learn's ``hinge_loss`` and
            torchmetrics do; ``"weston_watkins"`` all of them, as ``torch.nn.MultiMarginLoss`` does.
        weight: for classes ``(C,)``, the factor of the samples of each class; else it broadcasts to ``input``.
        ignore_index: samples of this class number count 0, and not at all in the mean.
        reduction: ``"mean"`` over the samples, as ``torch.nn.MultiMarginLoss``: weights don't enter the divisor.

    Returns:
        One number in the input's dtype (16 bits are computed in 32); with ``"none"`` a tensor shaped like ``target``.

    At the kink the gradient is 0, and of several strongest wrong classes each gets its part.

    Raises:
        IndexError: a class number out of range. ValueError: shapes that don't fit, labels that are not -1 and 1, an
            option that does not exist. TypeError: scores that are integers, class numbers that are not. Targets'
            values are looked at on a CPU only.

    Crammer and Singer, 2001; Weston and Watkins, 1999.
    """
    check_reduction(reduction)
    _check_options(margin, multiclass)
    asked.check_scores("hinge_loss", input)
    dtype, input = input.dtype, exact(input)
    count: Tensor | int = target.numel()
    if asked.asks_for_classes("hinge_loss", input, target):
        dim = asked.class_dimension(input)
        classes = input.shape[dim]
        input, target, ignored = asked.class_numbers("hinge_loss", input, target, ignore_index)
        index = target.unsqueeze(dim)
        own = input.gather(dim, index)
        others = input.scatter(dim, index, -torch.inf)
        if multiclass == "crammer_singer":
            others = others.amax(dim, keepdim=True)
        hinges = relu(margin + others - own)
        losses = (hinges.square() if squared else hinges).sum(dim)
        if multiclass == "weston_watkins":
            losses = losses / classes
        if weight is not None:
            asked.check_class_weights("hinge_loss", "weight", weight, classes)
            losses = losses * weight[target]
        return reduced(losses.masked_fill(ignored, 0.0), reduction, count - ignored.sum()).to(dtype)
    asked.check_labels("hinge_loss", target, -1, CURE)
    losses = relu(margin - target * input)
    losses = losses.square() if squared else losses
    if weight is not None:
        asked.check_weights("hinge_loss", weight, input)
        losses = losses * weight
    return reduced(losses, reduction, count).to(dtype)


def _check_options(margin: float, multiclass: str) -> None:
    if not margin >= 0:
        raise ValueError(f"hinge_loss: margin must be 0 or more, not {margin}.")
    if multiclass not in MULTICLASS:
        raise ValueError(f"hinge_loss: multiclass is 'crammer_singer' or 'weston_watkins', not {multiclass!r}.")


class HingeLoss(WeightedLoss):
    """:func:`hinge_loss` as a module, with the same options.

    Raises:
        ValueError: a margin below 0, or an option that does not exist.

    ::

        >>> import torch
        >>> from zerograd import losses
        >>> losses.HingeLoss()(torch.tensor([2.0, 0.5, -1.0]), torch.tensor([1, 1, 1]))
        tensor(0.8333)
    """

    def __init__(
        self,
        *,
        squared: bool = False,
        margin: float = 1.0,
        multiclass: Multiclass = "crammer_singer",
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        _check_options(margin, multiclass)
        self.squared = squared
        self.margin = margin
        self.multiclass: Multiclass = multiclass
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of scores, given the targets."""
        return hinge_loss(
            input,
            target,
            squared=self.squared,
            margin=self.margin,
            multiclass=self.multiclass,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"squared={self.squared}, margin={self.margin}, multiclass={self.multiclass!r}"
