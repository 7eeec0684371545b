"""Gradients: right where there are some, refused where there are none, and nothing else about a training changes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from losses.cases import CLASSES, LOSSES, numbers, scores, signs
from zerograd import losses

SMOOTH = {name: loss for name, loss in LOSSES.items() if name != "zero-one"}
LABELS = {"hinge": signs(7), "squared hinge": signs(7)} | dict.fromkeys(("focal", "focal 0.5"), (signs(7) + 1) // 2)


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_of_classes_are_right(name):
    x = scores(7, CLASSES).requires_grad_()
    assert gradcheck(lambda x: SMOOTH[name](x, numbers(7)), x)
    if "focal" in name:
        assert gradgradcheck(lambda x: SMOOTH[name](x, numbers(7)), x)


@pytest.mark.parametrize("name", LABELS)
def test_gradients_of_yes_or_no_questions_are_right(name):
    x = scores(7).requires_grad_()
    assert gradcheck(lambda x: LOSSES[name](x, LABELS[name]), x)


def test_the_zero_one_loss_refuses_backward_and_says_why():
    x = scores(7, CLASSES).requires_grad_()
    loss = losses.zero_one_loss(x, numbers(7))
    with pytest.raises(RuntimeError, match=r"zero_one_loss has no gradient to train with: it is flat.*hinge_loss"):
        loss.backward()
    with pytest.raises(RuntimeError, match="zero_one_loss has no gradient"):
        (losses.cross_entropy(x, numbers(7)) + 0.1 * losses.ZeroOneLoss()(x, numbers(7))).backward()
    assert x.grad is None


def test_only_backward_is_refused():
    x = scores(7, CLASSES).requires_grad_()
    value = losses.zero_one_loss(x, numbers(7)).item()
    with torch.no_grad():
        assert not losses.zero_one_loss(x, numbers(7)).requires_grad
    assert losses.zero_one_loss(x.detach(), numbers(7)).item() == value
    losses.cross_entropy(x, numbers(7)).backward()  # a metric beside the loss changes nothing
    assert x.grad is not None


def test_each_sample_may_have_its_gradient_by_vmap():
    x, y = scores(7, CLASSES), torch.arange(7) % CLASSES
    for loss in SMOOTH.values():
        each = torch.func.vmap(torch.func.grad(loss))(x, y)
        whole = torch.func.grad(lambda x, loss=loss: loss(x, y, reduction="sum"))(x)
        torch.testing.assert_close(each, whole)


MODULES = {
    losses.HingeLoss: ({"squared": True, "margin": 0.5, "multiclass": "weston_watkins"}, losses.hinge_loss),
    losses.FocalLoss: ({"alpha": torch.rand(CLASSES), "gamma": 1.5}, losses.focal_loss),
    losses.ZeroOneLoss: ({}, losses.zero_one_loss),
}


@pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)
def test_a_module_is_its_function_with_the_options_kept(kind):
    options, function = MODULES[kind]
    options = options | {"weight": torch.rand(CLASSES), "ignore_index": 3, "reduction": "sum"}
    x, y = scores(7, CLASSES), torch.arange(7) % CLASSES
    module = kind(**options)
    for same in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        torch.testing.assert_close(same(x, y), function(x, y, **options))
    assert "weight" in module.state_dict()
    assert module.double().weight.dtype == torch.float64
    torch.testing.assert_close(kind()(x, y), function(x, y))
