"""Wrong values are refused before anything starts, with the culprit and the cure; right ones reach the optimizer."""

import math
import re

import pytest
import torch

import zerograd
from training.runs import prepared
from zerograd.errors import UsageError
from zerograd.training import extras
from zerograd.training.optimizers import optimizer_class
from zerograd.training.session import threads
from zerograd.training.settings import Settings
from zerograd.training.tasks import NAMES, task_named


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"task": "digit"}, "no task 'digit'. Did you mean 'digits'?"),
        ({"lr": 0.0}, "--lr must be a finite number above 0, not 0"),
        ({"lr": math.nan}, "not nan"),
        ({"lr": math.inf}, "not inf"),
        ({"weight_decay": -0.1}, "--weight-decay must be a finite number, 0 or above, not -0.1"),
        ({"weight_decay": math.nan}, "not nan"),
        ({"epochs": 0}, "--epochs must be 1 or more, not 0"),
        ({"batch_size": 0}, "--batch-size must be 1 or more, or the word 'all', not 0"),
        ({"seed": -1}, "--seed must be a whole number from 0"),
        ({"seed": 2**63}, "--seed must be a whole number from 0"),
        ({"forget_zero_grad": True}, "zerograd train seed --forget-zero-grad"),
        ({"batch_size": 1348}, "--batch-size 1348 is more than the 1347 training samples"),
        ({"optimizer": "AdmW"}, "no optimizer 'AdmW'. Did you mean 'AdamW'?"),
        ({"optimizer": "Optimizer"}, "no optimizer 'Optimizer'"),
        ({"optimizer": ""}, "no optimizer ''"),
        ({"optimizer": "Rprop", "weight_decay": 0.1}, "Rprop takes no weight_decay. Leave --weight-decay out"),
        ({"optimizer": "LBFGS"}, "its step needs a closure"),
        ({"optimizer": "SparseAdam"}, "SparseAdam can't train this model: .*dense gradients"),
        ({"optimizer": "Muon"}, "Muon can't train this model: .*2D"),
    ],
)
def test_what_cannot_work_is_refused(settings, words):
    pattern = words if ".*" in words else re.escape(words)
    with pytest.raises(UsageError, match=pattern):
        prepared(**settings)


def test_names_of_optimizers_may_be_written_in_small_letters():
    assert optimizer_class("adamw") is zerograd.AdamW
    assert optimizer_class("SGD") is zerograd.SGD


def test_the_tasks_values_are_for_its_own_optimizer_and_the_users_for_any():
    def values(**settings):
        (group,) = prepared(**settings).optimizer.param_groups
        return group["initial_lr"], group["weight_decay"]

    task = task_named("digits")
    assert values() == (task.lr, task.weight_decay)
    assert values(optimizer="adamw", lr=1.0) == (1.0, task.weight_decay)
    assert values(optimizer="Adam") == (1e-3, 0)
    assert values(optimizer="Adam", lr=0.5, weight_decay=0.25) == (0.5, 0.25)


def test_every_task_is_called_like_its_file():
    assert {"digits", "seed"} < set(NAMES)
    assert [task_named(name).name for name in NAMES] == list(NAMES)


def test_a_rehearsal_leaves_the_model_and_the_random_numbers_alone():
    def first_draws(optimizer):
        torch.manual_seed(5)
        run = prepared(optimizer=optimizer)
        return run.model[0].weight, torch.rand(3)

    weights, draws = first_draws("SGD")
    others, other_draws = first_draws("Lion")
    assert torch.equal(weights, others)
    assert torch.equal(draws, other_draws)


def test_the_callers_random_numbers_are_left_alone(keep):
    torch.manual_seed(11)
    expected = torch.rand(4)
    torch.manual_seed(11)
    keep(epochs=1)
    assert torch.equal(torch.rand(4), expected)


def test_the_callers_number_of_threads_is_left_alone():
    before = torch.get_num_threads()
    with threads(Settings(threads=before + 1)):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module in ("rich", "sklearn") else module)
    with pytest.raises(UsageError) as caught:
        extras.require_extra("zerograd train")
    assert str(caught.value) == "zerograd train needs rich, scikit-learn: pip install 'zerograd[train]'"


def test_settings_by_default_leave_the_choice_to_the_task():
    assert Settings() == Settings(task="digits", seed=0, forget_zero_grad=False)
