"""An epoch is every sample once."""

import pytest
import torch

from zerograd.training.samples import Batches, Samples

SAMPLES = Samples(torch.arange(10), 10 * torch.arange(10))


@pytest.mark.parametrize("size", [1, 3, 9, 10])
def test_every_sample_comes_once_with_its_target(size):
    batches = Batches(SAMPLES, size, seed=0)
    passed = list(batches)
    assert len(passed) == len(batches)
    assert [len(inputs) for inputs, _ in passed][:-1] == [size] * (len(batches) - 1)
    assert sorted(torch.cat([inputs for inputs, _ in passed]).tolist()) == list(range(10))
    assert all(torch.equal(targets, 10 * inputs) for inputs, targets in passed)


def test_each_epoch_has_an_order_of_its_own_and_the_seed_decides_it():
    def orders(seed):
        batches = Batches(SAMPLES, 1, seed)
        return [[inputs.item() for inputs, _ in batches] for _ in range(2)]

    first, second = orders(1)
    assert first != second
    assert orders(1) == [first, second]
    assert orders(2) != [first, second]


def test_one_batch_of_everything_keeps_the_order():
    ((inputs, targets),) = Batches(SAMPLES, 10, seed=0)
    assert inputs is SAMPLES.inputs
    assert targets is SAMPLES.targets
