"""An epoch is every sample once."""

import pytest
import torch

from zerograd.training.batches import Batches, LoaderBatches, order
from zerograd.training.samples import Samples

SAMPLES = Samples(torch.arange(10), 10 * torch.arange(10))


@pytest.mark.parametrize("size", [1, 3, 9, 10])
def test_every_sample_comes_once_with_its_target(size):
    batches = Batches(SAMPLES, size, seed=0)
    passed = list(batches.epoch(1))
    assert len(passed) == len(batches)
    assert [len(inputs) for inputs, _ in passed][:-1] == [size] * (len(batches) - 1)
    assert sorted(torch.cat([inputs for inputs, _ in passed]).tolist()) == list(range(10))
    assert all(torch.equal(targets, 10 * inputs) for inputs, targets in passed)


def test_each_epoch_has_an_order_of_its_own_and_the_seed_decides_it():
    def orders(seed):
        batches = Batches(SAMPLES, 1, seed)
        return [[inputs.item() for inputs, _ in batches.epoch(number)] for number in (1, 2)]

    first, second = orders(1)
    assert first != second
    assert orders(1) == [first, second]
    assert orders(2) != [first, second]


def test_one_batch_of_everything_keeps_the_order():
    ((inputs, targets),) = Batches(SAMPLES, 10, seed=0).epoch(1)
    assert inputs is SAMPLES.inputs
    assert targets is SAMPLES.targets


@pytest.mark.parametrize("source", [Batches(SAMPLES, 3, seed=4), LoaderBatches([(n, n) for n in range(4)])])
def test_an_epoch_can_be_taken_up_anywhere(source):
    whole = list(source.epoch(2))
    assert len(whole) == len(source) == 4
    for skip in range(6):
        rest = list(source.epoch(2, skip))
        assert len(rest) == max(4 - skip, 0)
        assert all(
            torch.equal(torch.as_tensor(a), torch.as_tensor(b))
            for (a, _), (b, _) in zip(rest, whole[skip:], strict=True)
        )


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    torch.manual_seed(1)
    first = order(50, seed=7, epoch=3)
    torch.manual_seed(2)
    assert torch.equal(first, order(50, seed=7, epoch=3))
    assert sorted(first.tolist()) == list(range(50))
    assert not any(torch.equal(first, order(50, *other)) for other in [(7, 4), (3, 7), (8, 3)])


def test_a_sampler_is_told_the_epoch_as_torch_counts_it():
    told = []

    class Sampler(torch.utils.data.SequentialSampler):
        def set_epoch(self, epoch):
            told.append(epoch)

    data = torch.utils.data.TensorDataset(SAMPLES.inputs, SAMPLES.targets)
    source = LoaderBatches(torch.utils.data.DataLoader(data, batch_size=5, sampler=Sampler(data)))
    list(source.epoch(1))
    list(source.epoch(2))
    assert told == [0, 1]
