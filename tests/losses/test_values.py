"""What the losses are: torch's where torch has them, scikit-learn's, and the formulas of the papers."""

from __future__ import annotations

import math

import pytest
import sklearn.metrics as sk
import torch
from torch.nn import functional as F  # noqa: N812 - everybody's name for it

from losses.cases import CLASSES, LOSSES, numbers, scores, signs
from zerograd import losses

WEIGHT = torch.tensor([0.5, 1.0, 2.0, 3.0], dtype=torch.float64)
SHAPES = [(9, CLASSES), (6, CLASSES, 3), (2, CLASSES, 3, 5), (CLASSES,)]
by_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
by_reduction = pytest.mark.parametrize("reduction", ["none", "mean", "sum"])


def without_classes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


@by_shape
@by_reduction
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_a_focal_loss_with_gamma_0_is_torchs_cross_entropy(shape, reduction, weight):
    target = numbers(*without_classes(shape))
    options = {"reduction": reduction, "weight": weight}
    ours = losses.focal_loss(scores(*shape), target, gamma=0.0, **options)
    torch.testing.assert_close(ours, F.cross_entropy(scores(*shape), target, **options))


@by_reduction
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_the_hinge_of_weston_and_watkins_is_torchs_multi_margin_loss(reduction, squared, weight):
    target = numbers(9)
    kept = target != -100
    options = {"reduction": reduction, "weight": weight, "margin": 0.7}
    ours = losses.hinge_loss(scores(9, CLASSES), target, squared=squared, multiclass="weston_watkins", **options)
    theirs = F.multi_margin_loss(scores(9, CLASSES)[kept], target[kept], p=1 + squared, **options)
    torch.testing.assert_close(ours[kept] if reduction == "none" else ours, theirs)
    if reduction == "none":
        assert torch.equal(ours[~kept], torch.zeros(2, dtype=torch.float64))


def test_the_hinges_are_scikit_learns():
    two, many, target = scores(40), scores(40, CLASSES), torch.arange(40) % CLASSES
    assert losses.hinge_loss(two, signs(40)).item() == pytest.approx(sk.hinge_loss(signs(40), two))
    theirs = sk.hinge_loss(target.numpy(), many.numpy(), labels=range(CLASSES))
    assert losses.hinge_loss(many, target).item() == pytest.approx(theirs)


def test_the_zero_one_loss_is_scikit_learns():
    many, target = scores(40, CLASSES), torch.arange(40) % CLASSES
    answers = many.argmax(1)
    theirs = sk.zero_one_loss(target, answers)
    assert losses.zero_one_loss(many, target).item() == pytest.approx(theirs)
    assert losses.zero_one_loss(answers, target).item() == pytest.approx(theirs)
    weighted = sk.zero_one_loss(target, answers, sample_weight=WEIGHT[target])
    assert losses.zero_one_loss(many, target, weight=WEIGHT).item() == pytest.approx(weighted)
    assert losses.zero_one_loss(many, target, reduction="sum").item() == sk.zero_one_loss(
        target, answers, normalize=False
    )
    two = scores(40)
    for labels in (signs(40), (signs(40) + 1) // 2, signs(40).float(), signs(40) > 0):
        theirs = sk.zero_one_loss(labels > 0, two > 0)
        assert losses.zero_one_loss(two, labels).item() == pytest.approx(theirs)


def test_the_cross_entropy_is_torchs_own_and_scikit_learns_log_loss():
    assert losses.cross_entropy is F.cross_entropy
    assert losses.CrossEntropyLoss is torch.nn.CrossEntropyLoss
    many, target = scores(40, CLASSES), torch.arange(40) % CLASSES
    theirs = sk.log_loss(target.numpy(), many.softmax(1).numpy(), labels=range(CLASSES))
    assert losses.cross_entropy(many, target).item() == pytest.approx(theirs)
    assert losses.focal_loss(many, target, gamma=0).item() == pytest.approx(theirs)
    smooth = losses.cross_entropy(many, target, label_smoothing=0.1)
    by_hand = 0.9 * losses.cross_entropy(many, target) - 0.1 * many.log_softmax(1).mean()
    torch.testing.assert_close(smooth, by_hand)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_is_the_papers_formula(gamma):
    two, label = scores(40), (signs(40) + 1) // 2
    p = torch.where(label > 0, two.sigmoid(), 1 - two.sigmoid())
    alpha = torch.where(label > 0, 0.25, 0.75)
    formula = (alpha * (1 - p) ** gamma * -p.log()).mean()
    torch.testing.assert_close(losses.focal_loss(two, label, alpha=0.25, gamma=gamma), formula)

    many, target = scores(40, CLASSES), torch.arange(40) % CLASSES
    p = many.softmax(1)[range(40), target]
    formula = (WEIGHT[target] * (1 - p) ** gamma * -p.log()).mean()
    torch.testing.assert_close(losses.focal_loss(many, target, alpha=WEIGHT, gamma=gamma), formula)


def test_a_binary_focal_loss_is_the_one_of_two_classes():
    two, label = scores(40), (signs(40) + 1) // 2
    both = torch.stack([torch.zeros_like(two), two], dim=1)  # sigmoid(x) is the softmax of 0 and x
    for gamma in (0.0, 0.5, 2.0):
        torch.testing.assert_close(
            losses.focal_loss(two, label, gamma=gamma), losses.focal_loss(both, label, gamma=gamma)
        )


def test_a_binary_hinge_is_half_the_margin_of_two_classes():
    """With scores -s and s the gap is 2s: a margin of 2 makes each hinge twice the binary one."""
    two, sign = scores(40), signs(40)
    both = torch.stack([-two, two], dim=1)
    torch.testing.assert_close(2 * losses.hinge_loss(two, sign), losses.hinge_loss(both, (sign + 1) // 2, margin=2.0))


def test_weights_of_yes_or_no_questions_broadcast_as_in_torch():
    two, label, weight = scores(6, 3), (signs(6, 3) + 1) // 2, torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    theirs = F.binary_cross_entropy_with_logits(two, label.double(), weight=weight)
    torch.testing.assert_close(losses.focal_loss(two, label, gamma=0.0, weight=weight), theirs)
    each = losses.hinge_loss(two, signs(6, 3), reduction="none")
    torch.testing.assert_close(losses.hinge_loss(two, signs(6, 3), weight=weight), (each * weight).mean())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0, 5.0])
def test_logits_of_ten_thousand_give_finite_losses_and_gradients(dtype, gamma):
    for big in (1e4, 30.0, 0.0):
        many = torch.tensor([[big, -big], [-big, big], [big, big]], dtype=dtype, requires_grad=True)
        two = torch.tensor([big, -big, big, -big], dtype=dtype, requires_grad=True)
        for logits, target in ((many, torch.tensor([0, 0, 1])), (two, torch.tensor([0, 1, 1, 0]))):
            loss = losses.focal_loss(logits, target, gamma=gamma, reduction="none")
            assert loss.dtype == dtype
            (gradient,) = torch.autograd.grad(loss.sum(), logits)
            assert loss.isfinite().all()
            assert gradient.isfinite().all()
    worst = losses.focal_loss(torch.tensor([-1e4], dtype=dtype), torch.tensor([1]), gamma=gamma)
    assert worst.item() == pytest.approx(1e4, rel=4e-3)  # bfloat16 has eight bits: next to 1e4 comes 9984


def test_a_mean_of_more_mistakes_than_float16_can_add_is_exact():
    wrong = torch.full((4000,), -99.0, dtype=torch.float16)
    assert losses.hinge_loss(wrong, torch.ones(4000)).item() == 100.0
    assert losses.zero_one_loss(wrong, torch.ones(4000)).item() == 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_a_loss_has_the_dtype_of_the_scores_and_16_bits_are_computed_in_32(loss, dtype):
    x, weight = 100 * scores(8, CLASSES).to(dtype), torch.rand(CLASSES)
    for target, options in ((numbers(8), {"weight": weight}), (torch.ones(8, CLASSES, dtype=torch.float64), {})):
        ours = loss(x, target, **options)
        assert ours.dtype == dtype
        assert torch.equal(ours, loss(x.float(), target, **options).to(dtype))


by_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@by_loss
def test_reductions_and_ignored_samples(loss):
    x, y = scores(2, CLASSES, 6), numbers(2, 6)
    each = loss(x, y, reduction="none")
    kept = y != -100
    assert each.shape == y.shape
    assert not each[~kept].any()
    torch.testing.assert_close(loss(x, y), each[kept].mean())
    torch.testing.assert_close(loss(x, y, reduction="sum"), each.sum())
    other = y.masked_fill(y == -100, 7)
    torch.testing.assert_close(loss(x, other, ignore_index=7), loss(x, y))
    assert math.isnan(loss(x, torch.full_like(y, -100)))  # as torch's cross_entropy


@by_loss
def test_an_ignored_sample_may_hold_anything(loss):
    x, y = scores(4, CLASSES), torch.tensor([0, 1, -100, 2])
    x[2] = torch.nan
    x.requires_grad_()
    value = loss(x, y)
    assert value.isfinite()
    if loss is not losses.zero_one_loss:
        (gradient,) = torch.autograd.grad(value, x)
        assert gradient.isfinite().all()
        assert not gradient[2].any()


def test_a_score_that_is_nan_is_a_mistake():
    nan = torch.tensor([[torch.nan, 0.0]])
    assert losses.zero_one_loss(nan, torch.tensor([0])) == 1
    assert losses.zero_one_loss(nan[:, 0], torch.tensor([0])) == 1
    assert math.isnan(losses.hinge_loss(nan, torch.tensor([1])))
