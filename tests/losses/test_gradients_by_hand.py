"""The functions of the page "Gradients by hand" are autograd's gradients, and descend to scikit-learn's solutions."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from docs.markdown import ROOT, blocks
from zerograd import optim

DECAY = 0.01
SAMPLES, INPUTS = 60, 4
LINEAR, LOGISTIC, SOFTMAX = "linear_by_hand", "logistic_by_hand", "softmax_by_hand"
LOSSES: dict[str, tuple[nn.Module, int]] = {
    LINEAR: (nn.MSELoss(), 2),
    LOGISTIC: (nn.BCEWithLogitsLoss(), 1),
    SOFTMAX: (nn.CrossEntropyLoss(), 3),
}
"""The loss, and how many outputs the model has."""
by_model = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page defines, its blocks run one after the other."""
    session: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
        for block in blocks(ROOT / "docs" / "gradients_by_hand.md"):
            if block.language == "python":
                exec(block.text, session)
    return session


def data(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(len(name))
    inputs = torch.randn(SAMPLES, INPUTS, generator=draw, dtype=torch.float64)
    if name == SOFTMAX:
        return inputs, torch.arange(SAMPLES) % 3
    targets = torch.randn(SAMPLES, LOSSES[name][1], generator=draw, dtype=torch.float64)
    return inputs, (targets > 0).double() if name == LOGISTIC else targets


@by_model
@pytest.mark.parametrize("scale", [1.0, 1e3], ids=["small scores", "scores of thousands"])
def test_a_gradient_by_hand_is_autograds(page: dict[str, Any], name: str, scale: float) -> None:
    loss_fn, outputs = LOSSES[name]
    inputs, targets = data(name)
    model = nn.Linear(INPUTS, outputs).double()
    loss = loss_fn(model(scale * inputs), targets)
    loss.backward()
    by_hand = page[name](scale * inputs, model.weight.detach(), model.bias.detach(), targets)
    torch.testing.assert_close(by_hand, (loss.detach(), model.weight.grad, model.bias.grad))


@by_model
def test_a_descent_by_hand_ends_at_scikit_learns_solution(page: dict[str, Any], name: str) -> None:
    """No autograd at all: the optimizer is given the gradients, and decays weights and biases.

    scikit-learn doesn't decay the intercept, so it gets a column of ones and no intercept. Its C is 1 / (n decay);
    linear regression has no decay. The problem is well conditioned: 400 steps reach the solver's own tolerance.
    """
    _, outputs = LOSSES[name]
    inputs, targets = data(name)
    decay = 0.0 if name == LINEAR else DECAY
    weight = nn.Parameter(torch.zeros(outputs, INPUTS, dtype=torch.float64))
    bias = nn.Parameter(torch.zeros(outputs, dtype=torch.float64))
    optimizer = optim.SGD([weight, bias], lr=0.5, momentum=0.9, weight_decay=decay)
    by_hand: Callable[..., Any] = page[name]
    with torch.no_grad():
        for _ in range(400):
            _, weight.grad, bias.grad = by_hand(inputs, weight, bias, targets)
            optimizer.step()

    columns = np.hstack([inputs.numpy(), np.ones((SAMPLES, 1))])
    if name == LINEAR:
        theirs = LinearRegression(fit_intercept=False).fit(columns, targets.numpy())
    else:
        theirs = LogisticRegression(C=1 / (SAMPLES * DECAY), fit_intercept=False, tol=1e-10, max_iter=10_000)
        theirs.fit(columns, targets.numpy().ravel())
    ours = torch.cat([weight.detach(), bias.detach().unsqueeze(1)], dim=1).numpy()
    np.testing.assert_allclose(ours, theirs.coef_, atol=1e-5)
