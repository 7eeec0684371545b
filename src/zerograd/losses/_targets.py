"""What a target asks, and whether it can be asked."""

from __future__ import annotations

import torch
from torch import Tensor


def asks_for_classes(loss: str, input: Tensor, target: Tensor) -> bool:
    """True for class numbers, False for a yes or no for each element of ``input``; anything else is refused."""
    if target.shape == input.shape:
        return False
    if (
        input.dim()
        and target.shape == input.shape[: class_dimension(input)] + input.shape[class_dimension(input) + 1 :]
    ):
        if input.shape[class_dimension(input)] < 2:
            raise ValueError(
                f"{loss}: the input {tuple(input.shape)} has scores for one class, and there is nothing to choose. "
                f"For a yes or no give target the input's shape, {tuple(input.shape)}: target.unsqueeze(1)."
            )
        return True
    raise ValueError(
        f"{loss}: target {tuple(target.shape)} does not fit input {tuple(input.shape)}. It has either the same shape "
        "(a yes or no for each score), or that shape without its dimension of classes, the second (a class number)."
    )


def class_dimension(input: Tensor) -> int:
    """Where the scores of the classes stand: behind the batch, as in torch, or alone."""
    return 1 if input.dim() > 1 else 0


def check_scores(loss: str, input: Tensor) -> None:
    """Scores are floating-point numbers."""
    if not input.is_floating_point():
        raise TypeError(f"{loss}: the input must be scores in floating point, not {input.dtype}: input.float().")


def class_numbers(
    loss: str,
    input: Tensor,
    target: Tensor,
    ignore_index: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores and class numbers, both 0 where a sample is ignored, and which samples those are."""
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"{loss}: class numbers must be integers, not {target.dtype}: target.long().")
    target = target.long()
    dim = class_dimension(input)
    classes = input.shape[dim]
    ignored = target == ignore_index
    wrong = ~ignored & ((target < 0) | (target >= classes))
    if _seen(wrong.any()):
        raise IndexError(
            f"{loss}: target {int(target[wrong][0])} is out of bounds for {classes} classes: class numbers are 0 to "
            f"{classes - 1}, and {ignore_index} (ignore_index) leaves a sample out."
        )
    return input.masked_fill(ignored.unsqueeze(dim), 0.0), target.masked_fill(ignored, 0), ignored


def check_labels(loss: str, target: Tensor, low: int, cure: str) -> None:
    """Refuse labels that are neither ``low`` nor 1."""
    wrong = (target != low) & (target != 1)
    if target.is_complex() or _seen(wrong.any()):
        raise ValueError(f"{loss}: targets must be {low} or 1, and there is {target[wrong][0].item():g}. {cure}")


def some_are(target: Tensor, label: int) -> bool:
    """Whether a target is ``label``, as far as can be seen."""
    return _seen((target == label).any())


def check_class_weights(loss: str, name: str, weight: Tensor, classes: int) -> None:
    """One weight for each class."""
    if weight.shape != (classes,):
        raise ValueError(
            f"{loss}: {name} must hold one number for each of {classes} classes, not {tuple(weight.shape)}."
        )


def check_weights(loss: str, weight: Tensor, input: Tensor) -> None:
    """Weights of yes-or-no questions broadcast to them."""
    try:
        weight.expand(input.shape)
    except RuntimeError as error:
        raise ValueError(
            f"{loss}: weight {tuple(weight.shape)} does not broadcast to the input {tuple(input.shape)}."
        ) from error


def _seen(condition: Tensor) -> bool:
    """Whether it holds, where looking is free: a GPU would have to be waited for, and a traced value is not there."""
    if condition.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    try:
        return bool(condition)
    except RuntimeError:  # vmap and fake tensors have no value to look at
        return False
