"""A window stays the full batch whatever happens in it, or says that it can't."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import zerograd
from lifecycle.windows import OPTIMIZERS, Replica, in_full, joined, mean, network, samples, weights


def after_a_break(windows: Any, loss: Any, _: Any) -> Any:
    for window in windows:
        for batch in window:
            window.backward(loss(batch), n=len(batch[0]))
            if batch[0].shape[0] == 1:
                break
        for batch in window:  # what is left of it
            window.backward(loss(batch), n=len(batch[0]))
        yield window


def after_an_error_that_is_cleared(windows: Any, loss: Any, optimizer: Any) -> Any:
    for window in windows:
        window.backward(loss((torch.ones(9, 3).double(), torch.ones(9, 1).double())), n=9)
        with pytest.raises(RuntimeError, match="grad"):
            window.backward(torch.zeros(()), n=3)  # it hangs on nothing
        with pytest.raises(RuntimeError, match="zero_grad"):
            window.backward(loss((torch.ones(9, 3).double(), torch.ones(9, 1).double())), n=9)
        optimizer.zero_grad(set_to_none=False)
        for batch in window:
            window.backward(loss(batch), n=len(batch[0]))
        yield window


def after_a_clear(windows: Any, loss: Any, optimizer: Any, **how: bool) -> Any:
    for window in windows:
        window.backward(loss((torch.ones(9, 3).double(), torch.ones(9, 1).double())), n=9)
        optimizer.zero_grad(**how)
        for batch in window:
            window.backward(loss(batch), n=len(batch[0]))
        yield window


def after_a_clear_to_zeros(windows: Any, loss: Any, optimizer: Any) -> Any:
    return after_a_clear(windows, loss, optimizer, set_to_none=False)


def after_zeros_by_hand(windows: Any, loss: Any, optimizer: Any) -> Any:
    for window in windows:
        for n in (1, 9):
            window.weighted(loss((torch.ones(n, 3).double(), torch.ones(n, 1).double())), n=n).backward()
            for p in optimizer.param_groups[0]["params"]:
                (p.grad.data if n == 1 else p.grad).zero_()
        for batch in window:
            window.weighted(loss(batch), n=len(batch[0])).backward()
        yield window


def after_a_clear_before_a_backward(windows: Any, loss: Any, optimizer: Any) -> Any:
    for window in windows:
        window.backward(loss((torch.ones(9, 3).double(), torch.ones(9, 1).double())), n=9)
        for i, batch in enumerate(window):
            weighed = window.weighted(loss(batch), n=len(batch[0]))
            if i == 0:
                optimizer.zero_grad()
            weighed.backward()
        yield window


def with_one_backward_for_all(windows: Any, loss: Any, _: Any) -> Any:
    for window in windows:
        sum(window.weighted(loss(batch), n=len(batch[0])) for batch in window).backward()
        yield window


def with_a_backward_that_comes_late(windows: Any, loss: Any, _: Any) -> Any:
    for window in windows:
        before = None
        for batch in window:
            if before is not None:
                before.backward()
            before = window.weighted(loss(batch), n=len(batch[0]))
        before.backward()
        yield window


def with_an_older_loop_left_open(windows: Any, loss: Any, optimizer: Any) -> Any:
    older = zerograd.accumulate([1, 2], optimizer)
    window = next(older)
    for n in (1, 8):
        window.backward(loss((torch.ones(n, 3).double(), torch.ones(n, 1).double())), n=n)
    optimizer.zero_grad()
    for window in windows:
        for batch in window:
            window.backward(loss(batch), n=len(batch[0]))
        yield window
    older.close()


def without_any_sample_first(windows: Any, loss: Any, _: Any) -> Any:
    for window in windows:
        window.backward(loss((torch.ones(0, 3).double(), torch.ones(0, 1).double())), n=0)
        for batch in window:
            window.backward(loss(batch), n=len(batch[0]))
        yield window


STORIES = [
    after_a_break,
    after_an_error_that_is_cleared,
    after_a_clear,
    after_a_clear_to_zeros,
    after_zeros_by_hand,
    after_a_clear_before_a_backward,
    with_one_backward_for_all,
    with_a_backward_that_comes_late,
    with_an_older_loop_left_open,
    without_any_sample_first,
]


@pytest.mark.parametrize("clips", [False, True], ids=["", "clips by hand"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("name", ["zerograd.SGD", "torch.SGD"])
def test_whatever_happens_in_a_window_it_is_the_full_batch(name: str, story: Any, clips: bool) -> None:
    make, batches = OPTIMIZERS[name], samples([2, 5, 1, 4, 3])
    if clips and story in (with_one_backward_for_all, with_a_backward_that_comes_late, after_a_clear_before_a_backward):
        story = asking(story)  # a backward of one's own is not seen to be the last one
    model, other = network(), network()
    optimizer, reference = make(model.parameters()), make(other.parameters())
    windows = zerograd.accumulate(iter(batches), optimizer, every=9)  # a generator, and a window longer than it
    for _ in story(windows, lambda batch: mean(model(batch[0]), batch[1]), optimizer):
        if clips:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    inputs, targets = joined(batches)
    mean(other(inputs), targets).backward()
    if clips:
        nn.utils.clip_grad_norm_(other.parameters(), 0.1)
    reference.step()
    torch.testing.assert_close(weights(model), weights(other), rtol=0, atol=1e-11)  # float64, sums in another order


def asking(story: Any) -> Any:
    def told(*arguments: Any) -> Any:
        for window in story(*arguments):
            window.divide()
            yield window

    return told


def two_at_once(p: Any, optimizer: Any) -> None:
    for one, other in zip(zerograd.accumulate([1], optimizer), zerograd.accumulate([1], optimizer), strict=True):
        other.backward(p.sum())
        one.backward(p.sum())


def weighed_for_nothing(p: Any, optimizer: Any) -> None:
    for window in zerograd.accumulate([1, 2], optimizer):
        window.backward(p.sum(), n=1)
        window.weighted(p.sum() * float("nan"), n=2)
        optimizer.step()


def left_without_a_step(p: Any, optimizer: Any) -> None:
    for window in zerograd.accumulate([1, 2], optimizer, every=1):
        window.backward(p.sum(), n=1)


def stepped_after_an_error(p: Any, optimizer: Any) -> None:
    for window in zerograd.accumulate([1, 2], optimizer):
        window.backward(p.sum(), n=1)
        with pytest.raises(RuntimeError, match="grad"):
            window.backward(torch.zeros(()), n=2)
        optimizer.step()


@pytest.mark.parametrize("make", [zerograd.SGD, torch.optim.SGD])
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (two_at_once, "another window"),
        (weighed_for_nothing, "had no backward"),
        (left_without_a_step, "had no step"),
        (stepped_after_an_error, "ended with an error"),
    ],
)
def test_what_can_not_be_exact_is_an_error(make: Any, wrong: Any, says: str) -> None:
    p = nn.Parameter(torch.ones(2))
    with pytest.raises(RuntimeError, match=says):
        wrong(p, make([p], lr=0.1))
    assert p.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("make", [zerograd.SGD, torch.optim.SGD])
def test_gradients_that_really_are_zero_count(make: Any) -> None:
    """Nothing has been cleared where a loss is flat."""
    p = nn.Parameter(torch.ones(2))
    for window in zerograd.accumulate([0.0, 0.0, 6.0], make([p], lr=1.0), every=3):
        for slope in window:
            window.backward((slope * p).sum())
        assert p.grad is not None
        assert p.grad.tolist() == [2.0, 2.0]


def test_two_optimizers_share_a_loader() -> None:
    """A generator and its critic, a window inside a window."""
    batches = samples([2, 5, 1, 4])
    one, two = network(), network()
    first, second = zerograd.SGD(one.parameters(), lr=0.1), torch.optim.SGD(two.parameters(), lr=0.1)
    for outer in zerograd.accumulate(batches, first, every=2):
        for inner in zerograd.accumulate(outer, second, every=2):
            for inputs, targets in inner:
                outer.backward(mean(one(inputs), targets), n=len(inputs))
                inner.backward(mean(two(inputs), targets), n=len(inputs))
            for optimizer in (first, second):
                optimizer.step()
                optimizer.zero_grad()
    for model in (one, two):
        expected = in_full(OPTIMIZERS["torch.SGD"], batches, 2)
        torch.testing.assert_close(weights(model), expected, rtol=0, atol=1e-11)  # float64, sums in another order


@pytest.mark.parametrize("make", [zerograd.SGD, torch.optim.SGD])
def test_who_leaves_a_window_early_and_clips_by_hand_sees_the_mean_of_what_was_read(make: Any) -> None:
    batches, model, other = samples([2, 5, 1, 4]), Replica().double(), Replica().double()
    other.load_state_dict(model.state_dict())
    for window in zerograd.accumulate(batches, make(model.parameters(), lr=0.1), model=model):
        for inputs, targets in window:
            window.backward(mean(model(inputs), targets), n=len(inputs))
            if len(inputs) == 1:
                break
        assert not model.quiet  # nor is what comes now kept from the other ranks
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    inputs, targets = joined(batches[:3])
    mean(other(inputs), targets).backward()
    torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(other.parameters(), 0.1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("set_to_none", [True, False], ids=["to None", "to zeros"])
def test_a_clear_between_a_float16_loss_and_its_backward_leaves_that_loss(set_to_none: bool) -> None:
    """In float16 the mean so far is kept, so the loss was weighed to add to what is gone."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float16))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    windows = zerograd.accumulate([2.0, 8.0, 16.0], optimizer, every=2)
    first = next(windows)
    first.backward((weight * 2.0).sum())
    loss = first.weighted((weight * 4.0).sum())
    optimizer.zero_grad(set_to_none=set_to_none)
    loss.backward()
    optimizer.step()
    assert weight.item() == -3.0
    optimizer.zero_grad()
    second = next(windows)
    for value in second:
        second.backward((weight * value).sum())
    assert weight.grad is not None
    assert weight.grad.item() == 12.0, "the mean of 8 and 16"
    optimizer.step()
    assert weight.item() == -15.0
