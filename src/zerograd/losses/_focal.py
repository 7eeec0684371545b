"""The focal loss: cross-entropy in which samples that are right already count little."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from zerograd.losses import _targets as asked
from zerograd.losses._reducing import WeightedLoss, check_reduction, exact, reduced

CURE = "Labels of -1 and 1 become 0 and 1 by (target + 1) / 2."


def focal_loss(
    input: Tensor,
    target: Tensor,
    *,
    alpha: float | Tensor | None = None,
    gamma: float = 2.0,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy times ``(1 - p)**gamma``, where p is the probability that the model gives to the truth.

    ::

        alpha_y (1 - p)^gamma (-log p)

    It is computed from logits, in logarithms throughout: a logit of 1e4 gives no infinity and no NaN, in the gradient
    neither, whatever ``gamma``.

    Args:
        input: logits in floating point. For classes ``(N, C, ...)`` or ``(C,)``.
        target: 0 or 1, shaped like ``input``, each a question of its own (one-hot rows too); or class numbers
            ``(N, ...)`` or ``()``, integers.
        alpha: for two classes the weight of a 1, a number from 0 to 1; a 0 has weight 1 - alpha. For many ``(C,)``,
            or one number for all. None: no weights. The paper takes 0.25 with gamma 2.
        gamma: 0 or more; with 0 it is the cross-entropy.
        weight: torch's: for classes ``(C,)`` as in ``F.cross_entropy``, where the mean divides by the sum of the
            weights; else it broadcasts to ``input`` as in ``F.binary_cross_entropy_with_logits``.
        ignore_index: samples of this class number count 0, and not at all in the mean.
        reduction: ``"mean"`` over the samples (torchvision's default is ``"none"``).

    Returns:
        One number; with ``"none"`` a tensor shaped like ``target``.

    Raises:
        IndexError: a class number out of range. ValueError: shapes that don't fit, labels that are not 0 and 1, numbers
            out of range. TypeError: logits that are integers, class numbers that are not. Targets' values are looked
            at on a CPU only.

    Lin, Goyal, Girshick, He and Dollar, Focal loss for dense object detection, 2017.
    """
    check_reduction(reduction)
    _check_gamma(gamma)
    asked.check_scores("focal_loss", input)
    dtype, input = input.dtype, exact(input)
    if asked.asks_for_classes("focal_loss", input, target):
        return _of_classes(input, target, alpha, gamma, weight, ignore_index, reduction).to(dtype)
    asked.check_labels("focal_loss", target, 0, CURE)
    signed = torch.where(target > 0, input, -input)  # the logit of the truth
    losses = _modulated(-logsigmoid(signed), logsigmoid(-signed), gamma)
    if alpha is not None:
        if (isinstance(alpha, Tensor) and alpha.dim()) or not 0 <= alpha <= 1:
            raise ValueError(
                f"focal_loss: for two classes alpha is a number from 0 to 1, the weight of a 1, not {alpha}."
            )
        losses = torch.where(target > 0, alpha, 1 - alpha) * losses
    if weight is not None:
        asked.check_weights("focal_loss", weight, input)
        losses = losses * weight
    return reduced(losses, reduction, target.numel()).to(dtype)


def _of_classes(
    logits: Tensor,
    target: Tensor,
    alpha: float | Tensor | None,
    gamma: float,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
) -> Tensor:
    dim = asked.class_dimension(logits)
    classes = logits.shape[dim]
    logits, target, ignored = asked.class_numbers("focal_loss", logits, target, ignore_index)
    index = target.unsqueeze(dim)
    log_p = log_softmax(logits, dim)
    log_rest = log_p.scatter(dim, index, -torch.inf).logsumexp(dim)  # log(1 - p), without forming 1 - p
    losses = _modulated(-log_p.gather(dim, index).squeeze(dim), log_rest, gamma)
    if isinstance(alpha, Tensor) and alpha.dim():
        asked.check_class_weights("focal_loss", "alpha", alpha, classes)
        losses = alpha[target] * losses
    elif alpha is not None:
        losses = alpha * losses
    count: Tensor = (~ignored).sum()
    if weight is not None:
        asked.check_class_weights("focal_loss", "weight", weight, classes)
        weights = weight[target]
        losses = weights * losses
        count = weights.masked_fill(ignored, 0.0).sum()
    return reduced(losses.masked_fill(ignored, 0.0), reduction, count)


def _modulated(cross_entropy: Tensor, log_rest: Tensor, gamma: float) -> Tensor:
    return cross_entropy if gamma == 0 else (gamma * log_rest).exp() * cross_entropy


def _check_gamma(gamma: float) -> None:
    if not gamma >= 0:
        raise ValueError(f"focal_loss: gamma must be 0 or more, not {gamma}.")


class FocalLoss(WeightedLoss):
    """:func:`focal_loss` as a module, with the same options.

    Raises:
        ValueError: a gamma below 0, or a reduction that does not exist.

    ::

        >>> import torch
        >>> from zerograd import losses
        >>> losses.FocalLoss(gamma=2.0)(torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 0]))
        tensor(0.0867)
    """

    alpha: Tensor | float | None

    def __init__(
        self,
        *,
        alpha: float | Tensor | None = None,
        gamma: float = 2.0,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
    ) -> None:
        super().__init__(weight, reduction)
        _check_gamma(gamma)
        if isinstance(alpha, Tensor):
            self.register_buffer("alpha", alpha)
        else:
            self.alpha = alpha
        self.gamma = gamma
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits, given the targets."""
        return focal_loss(
            input,
            target,
            alpha=self.alpha,
            gamma=self.gamma,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
        )

    def extra_repr(self) -> str:
        """The options."""
        return f"alpha={self.alpha}, gamma={self.gamma}"
