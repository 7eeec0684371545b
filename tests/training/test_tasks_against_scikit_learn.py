"""The tasks of linear models come to scikit-learn's solutions, from every start and in every order of the samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from training.runs import read_record
from zerograd.training.samples import Data, Samples
from zerograd.training.task import Task
from zerograd.training.tasks import task_named

SOLVERS: dict[str, tuple[Callable[[float], Any], float]] = {
    "linear": (lambda _: LinearRegression(fit_intercept=False), 0.003),
    "logistic": (lambda c: LogisticRegression(C=c, fit_intercept=False, tol=1e-8, max_iter=1000), 0.003),
    "softmax": (lambda c: LogisticRegression(C=c, fit_intercept=False, tol=1e-6, max_iter=1000), 0.02),
    "svm": (lambda c: LinearSVC(loss="hinge", C=c, fit_intercept=False, max_iter=10**6, random_state=0), 0.02),
}
"""scikit-learn's class and how far above its objective a run may end, relatively: two or three times what was measured
over five seeds. Minibatches end in noise, and a hinge has no slope that gets small near its minimum."""


def columns(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Inputs with a column of ones for the bias, which decays like every weight here."""
    assert isinstance(data, Samples)
    inputs = data.inputs.flatten(1).double().numpy()
    return np.hstack([inputs, np.ones((len(inputs), 1))]), data.targets.numpy()


def objective(task: Task, weights: Tensor, data: Data) -> float:
    """What both minimize: the mean loss and half the decay times the squared length of all weights."""
    inputs, _ = columns(data)
    assert isinstance(data, Samples)
    scores = torch.from_numpy(inputs).float() @ weights.T
    return (task.loss(scores, data.targets) + (task.weight_decay or 0.0) / 2 * weights.square().sum()).item()


@pytest.mark.parametrize("name", SOLVERS)
def test_the_defaults_reach_scikit_learns_solution(keep, name):
    from safetensors.torch import load_file

    task = task_named(name)
    solver, distance = SOLVERS[name]
    train, kept = task.samples()
    assert name == "linear" or task.weight_decay == pytest.approx(1 / len(train))  # scikit-learn's C = 1
    inputs, targets = columns(train)
    theirs = solver(1 / (len(train) * task.weight_decay) if task.weight_decay else 1.0).fit(inputs, targets.squeeze())
    lowest = objective(task, torch.tensor(np.atleast_2d(theirs.coef_), dtype=torch.float32), train)

    folder = keep(task=name, seed=1)
    state = load_file(folder / "model.safetensors")
    weight, bias = sorted(state.values(), key=lambda p: -p.dim())
    ours = objective(task, torch.cat([weight, bias.unsqueeze(1)], dim=1), train)
    # float32 and the solver's own tolerance: no run can be lower by more than a ten-thousandth
    assert -1e-4 < ours / lowest - 1 < distance

    if name != "linear":
        their_accuracy = theirs.score(columns(kept)[0], columns(kept)[1].squeeze())
        assert read_record(folder)[-1]["test_accuracy"] == pytest.approx(their_accuracy, abs=0.015)
