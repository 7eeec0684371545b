"""Losses that torch.nn lacks, in its spelling: hinge, zero-one and focal; and torch's own softmax cross-entropy.

Each is a function of (input, target) and a module that keeps the options, as ``F.cross_entropy`` and
``nn.CrossEntropyLoss`` are. The shapes say what is asked: targets shaped like the input are yes-or-no questions, one
for each element; targets without the input's dimension of classes (the second, or the only one) are class numbers.
``reduction`` is ``"mean"``, ``"sum"`` or ``"none"``.
"""

from torch.nn import CrossEntropyLoss
from torch.nn.functional import cross_entropy

from zerograd.losses._focal import FocalLoss, focal_loss
from zerograd.losses._hinge import HingeLoss, hinge_loss
from zerograd.losses._zero_one import ZeroOneLoss, zero_one_loss

__all__ = [
    "CrossEntropyLoss",
    "FocalLoss",
    "HingeLoss",
    "ZeroOneLoss",
    "cross_entropy",
    "focal_loss",
    "hinge_loss",
    "zero_one_loss",
]
