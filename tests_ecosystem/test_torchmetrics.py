"""zerograd.losses are the metrics of torchmetrics, where it has them."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.functional import classification as theirs

from zerograd import losses

CLASSES = 4
GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.randn(50, CLASSES, generator=GENERATOR)
TARGET = torch.randint(CLASSES, (50,), generator=GENERATOR)
BINARY = (TARGET > 1).long()


@pytest.mark.parametrize("squared", [False, True])
def test_hinges(squared: bool) -> None:
    """torchmetrics turns what is not a probability into one by a softmax: it is given scores from 0 to 1."""
    scores = SCORES.sigmoid()
    many = theirs.multiclass_hinge_loss(scores, TARGET, CLASSES, squared=squared)
    torch.testing.assert_close(losses.hinge_loss(scores, TARGET, squared=squared), many)
    two = theirs.binary_hinge_loss(scores[:, 0], BINARY, squared=squared)
    torch.testing.assert_close(losses.hinge_loss(scores[:, 0], 2 * BINARY - 1, squared=squared), two)


def test_zero_one_is_what_accuracy_leaves() -> None:
    accuracy = theirs.multiclass_accuracy(SCORES, TARGET, CLASSES, average="micro")
    torch.testing.assert_close(losses.zero_one_loss(SCORES, TARGET), 1 - accuracy)
    accuracy = theirs.binary_accuracy(SCORES[:, 0].sigmoid(), BINARY)
    torch.testing.assert_close(losses.zero_one_loss(SCORES[:, 0], BINARY), 1 - accuracy)
