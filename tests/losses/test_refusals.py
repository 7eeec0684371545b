"""Bad input is named, with the cure."""

from __future__ import annotations

import re

import pytest
import torch

from zerograd import losses

THREE = torch.zeros(3, 4)
YES_NO = torch.zeros(3)


def names(*labels: float) -> torch.Tensor:
    return torch.tensor(labels)


@pytest.mark.parametrize(
    ("loss", "input", "target", "options", "kind", "words"),
    [
        ("hinge_loss", YES_NO, names(0, 1, 1), {}, ValueError, "must be -1 or 1, and there is 0. Labels of 0 and 1"),
        ("focal_loss", YES_NO, names(-1, 1, 1), {}, ValueError, "must be 0 or 1, and there is -1. Labels of -1"),
        ("focal_loss", YES_NO, names(0.5, 1, 1), {}, ValueError, "there is 0.5"),
        ("zero_one_loss", YES_NO, names(-1, 0, 1), {}, ValueError, "must be -1 or 1, and there is 0"),
        ("zero_one_loss", YES_NO, names(0, 2, 1), {}, ValueError, "must be 0 or 1, and there is 2"),
        ("zero_one_loss", YES_NO.long(), names(0, 2, 1.5), {}, TypeError, "compared with integers, not torch.float32"),
        *(
            row
            for loss in ("hinge_loss", "focal_loss", "zero_one_loss")
            for row in (
                (loss, THREE, names(0, 4, 1), {}, IndexError, "target 4 is out of bounds for 4 classes"),
                (loss, THREE, names(0, -1, 1), {}, IndexError, "class numbers are 0 to 3, and -100 (ignore_index)"),
                (loss, THREE, names(0.0, 1.0, 1.0), {}, TypeError, "must be integers, not torch.float32"),
                (loss, THREE, names(0, 1), {}, ValueError, "target (2,) does not fit input (3, 4)"),
                (loss, THREE[:, :1], names(0, 0, 0), {}, ValueError, "target.unsqueeze(1)"),
                (loss, THREE, names(0, 1, 1), {"weight": names(1.0, 2.0)}, ValueError, "one number for each of 4"),
                (loss, YES_NO, names(1, 1, 1), {"weight": THREE}, ValueError, "weight (3, 4) does not broadcast"),
                (loss, YES_NO, names(1, 1, 1), {"reduction": "avg"}, ValueError, "'avg' is not a valid value for red"),
            )
        ),
        ("hinge_loss", THREE.long(), names(0, 1, 1), {}, TypeError, "must be scores in floating point"),
        ("hinge_loss", THREE, names(0, 1, 1), {"margin": -1.0}, ValueError, "margin must be 0 or more, not -1"),
        ("hinge_loss", THREE, names(0, 1, 1), {"multiclass": "ovr"}, ValueError, "'crammer_singer' or"),
        ("focal_loss", THREE, names(0, 1, 1), {"gamma": -0.5}, ValueError, "gamma must be 0 or more, not -0.5"),
        ("focal_loss", THREE, names(0, 1, 1), {"gamma": float("nan")}, ValueError, "not nan"),
        ("focal_loss", THREE, names(0, 1, 1), {"alpha": names(1.0)}, ValueError, "alpha must hold one number for each"),
        ("focal_loss", YES_NO, names(0, 1, 1), {"alpha": 1.5}, ValueError, "a number from 0 to 1"),
    ],
)
def test_bad_input_is_named(loss, input, target, options, kind, words):  # noqa: A002
    with pytest.raises(kind, match=re.escape(words)):
        getattr(losses, loss)(input, target, **options)


@pytest.mark.parametrize("options", [{"reduction": "avg"}, {"margin": -1.0}, {"multiclass": "ovr"}], ids=str)
def test_a_module_refuses_its_options_when_it_is_made(options):
    with pytest.raises(ValueError):
        losses.HingeLoss(**options)
