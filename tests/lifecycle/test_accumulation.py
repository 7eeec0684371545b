"""A window of micro-batches is the full batch, whatever the optimizer, the reduction and the sizes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zerograd
from lifecycle.windows import OPTIMIZERS, Replica, in_full, joined, mean, network, samples, summed, weights

SIZES = {"unequal": [5, 1, 3, 2, 7, 4, 1], "equal": [3, 3, 3, 3], "a short tail": [4, 4, 4, 4, 4], "one": [6]}


def accumulated(make: Any, batches: Any, every: int, reduction: str) -> Tensor:
    model = network()
    optimizer = make(model.parameters())
    loss_fn = mean if reduction == "mean" else summed
    for window in zerograd.accumulate(batches, optimizer, every=every):
        optimizer.zero_grad()
        for inputs, targets in window:
            window.backward(loss_fn(model(inputs), targets), n=len(inputs), reduction=reduction)  # type: ignore[arg-type]
        optimizer.step()
    return weights(model)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("every", [1, 3, 4])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_window_is_the_full_batch(make: Any, sizes: list[int], every: int, reduction: str) -> None:
    batches = samples(sizes)
    # float64; sums in another order differ in the last bits, which Adam's division makes a little larger
    torch.testing.assert_close(
        accumulated(make, batches, every, reduction), in_full(make, batches, every), rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_losses_without_n_count_the_same(make: Any) -> None:
    batches = samples([3, 3, 3, 3, 3])
    model = network()
    optimizer = make(model.parameters())
    for window in zerograd.accumulate(batches, optimizer, every=2):
        optimizer.zero_grad()
        for inputs, targets in window:
            window.backward(mean(model(inputs), targets))
        optimizer.step()
    torch.testing.assert_close(weights(model), in_full(make, batches, 2), rtol=0, atol=1e-11)


def test_sums_without_n_just_add_up() -> None:
    batches = samples([2, 5, 1])
    model, other = network(), network()
    optimizer, reference = zerograd.SGD(model.parameters(), lr=0.01), zerograd.SGD(other.parameters(), lr=0.01)
    for window in zerograd.accumulate(batches, optimizer):
        for inputs, targets in window:
            window.backward(summed(model(inputs), targets), reduction="sum")
        optimizer.step()
    inputs, targets = joined(batches)
    summed(other(inputs), targets).backward()
    reference.step()
    torch.testing.assert_close(weights(model), weights(other), rtol=0, atol=1e-13)


def test_a_micro_batch_without_tokens_adds_nothing() -> None:
    batches = samples([2, 0, 3])
    make = OPTIMIZERS["zerograd.SGD"]
    got = accumulated(make, batches, 3, "mean")
    torch.testing.assert_close(got, in_full(make, samples([2, 0, 3]), 3), rtol=0, atol=1e-13)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_step_may_come_before_the_window_ends(make: Any) -> None:
    batches = samples([2, 5, 1, 4])
    model = network()
    optimizer = make(model.parameters())
    windows = zerograd.accumulate(batches, optimizer, every=4)
    for window in windows:
        for at, (inputs, targets) in enumerate(window):
            window.backward(mean(model(inputs), targets), n=len(inputs))
            if at == 1:
                break
        optimizer.step()
        break
    windows.close()  # type: ignore[attr-defined]
    torch.testing.assert_close(weights(model), in_full(make, batches[:2], 2), rtol=0, atol=1e-11)
    # and what comes after is divided by nothing
    other = copy.deepcopy(model)
    assert not optimizer._optimizer_step_pre_hooks
    before = weights(model)
    with torch.no_grad():
        for p in model.parameters():
            p.grad = torch.ones_like(p)
    if isinstance(optimizer, zerograd.SGD) and optimizer.clip is None:
        optimizer.step()
        torch.testing.assert_close(weights(model), before - 0.1)
    assert torch.equal(weights(other), before)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_loss_scaler_fits_in(make: Any) -> None:
    batches = [(inputs.float(), targets.float()) for inputs, targets in samples([2, 5, 1])]
    model = network().float()
    optimizer = make(model.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for window in zerograd.accumulate(batches, optimizer):
        optimizer.zero_grad()
        for inputs, targets in window:
            window.backward(scaler.scale(mean(model(inputs), targets)), n=len(inputs))
        scaler.step(optimizer)
        scaler.update()
    reference = in_full(make, samples([2, 5, 1]), 3)
    torch.testing.assert_close(weights(model).double(), reference, rtol=0, atol=1e-5)  # float32 against float64


def test_a_skipped_step_leaves_nothing_for_the_next_window() -> None:
    batches = samples([2, 3, 4, 1])
    model, other = network().float(), network().float()
    optimizer, reference = zerograd.SGD(model.parameters(), lr=0.1), zerograd.SGD(other.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for at, window in enumerate(zerograd.accumulate(batches, optimizer, every=2)):
        optimizer.zero_grad()
        for inputs, targets in window:
            loss = mean(model(inputs.float()), targets.float()) * (float("inf") if at == 0 else 1.0)
            window.backward(scaler.scale(loss), n=len(inputs))
        scaler.step(optimizer)
        scaler.update()
    inputs, targets = joined(batches[2:])
    mean(other(inputs.float()), targets.float()).backward()
    reference.step()
    torch.testing.assert_close(weights(model), weights(other), rtol=0, atol=1e-6)


def test_float16_gradients_do_not_overflow() -> None:
    """A sum of these 40 gradients of 6000 would be beyond 65504; the mean is kept running."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float16))
    optimizer = zerograd.SGD([weight], lr=1e-3)
    for window in zerograd.accumulate([1, 3] * 20, optimizer, every=40):
        for n in window:
            window.backward((weight * 6000.0).sum(), n=n)
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad.item(), 6000.0, rtol=0.02, atol=0)  # 40 roundings of float16
        optimizer.step()
    torch.testing.assert_close(weight.item(), -6.0, rtol=0.02, atol=0)


@pytest.mark.parametrize("asks", [False, True], ids=["", "divide()"])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_who_clips_by_hand_sees_the_divided_gradient(make: Any, asks: bool) -> None:
    batches = samples([2, 5, 1])
    model, other = network(), network()
    optimizer, reference = make(model.parameters()), make(other.parameters())
    for window in zerograd.accumulate(batches, optimizer):
        for inputs, targets in window:
            window.backward(mean(model(inputs), targets), n=len(inputs))
        if asks:
            window.divide()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
    inputs, targets = joined(batches)
    mean(other(inputs), targets).backward()
    torch.testing.assert_close(nn.utils.clip_grad_norm_(other.parameters(), 0.1), norm, rtol=0, atol=1e-12)
    reference.step()
    torch.testing.assert_close(weights(model), weights(other), rtol=0, atol=1e-11)


def read_first(window: Any) -> Any:
    return iter(list(window))


def one_ahead(window: Any) -> Any:
    before = next(window := iter(window))
    for following in window:
        yield before
        before = following
    yield before


@pytest.mark.parametrize("reader", [read_first, one_ahead])
@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_reader_that_is_ahead_of_backward_changes_nothing(make: Any, reader: Any) -> None:
    """The window has ended before its last backward, or before its first."""
    batches = samples([2, 5, 1])
    model = network()
    optimizer = make(model.parameters())
    for window in zerograd.accumulate(batches, optimizer):
        for inputs, targets in reader(window):
            window.backward(mean(model(inputs), targets), n=len(inputs))
        optimizer.step()
    torch.testing.assert_close(weights(model), in_full(make, batches, 3), rtol=0, atol=1e-11)


class Wrapped(torch.optim.Optimizer):
    """As Accelerate's AcceleratedOptimizer: an Optimizer that keeps the one that steps as ``optimizer``."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer = optimizer

    @property
    def param_groups(self) -> Any:
        return self.optimizer.param_groups

    def step(self, closure: Any = None) -> Any:
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_wrapper_round_an_optimizer_fits_in(make: Any) -> None:
    batches = samples([2, 5, 1])
    got = accumulated(lambda params: Wrapped(make(params)), batches, 2, "mean")
    torch.testing.assert_close(got, in_full(make, batches, 2), rtol=0, atol=1e-11)


def test_only_the_last_micro_batch_of_a_window_is_sent() -> None:
    model = Replica()
    optimizer = zerograd.SGD(model.parameters())
    for window in zerograd.accumulate(range(5), optimizer, every=3, model=model):
        for _ in window:
            window.backward(model(torch.ones(2, 3)).mean())
        optimizer.step()
    assert model.seen == [True, True, False, True, False]


def test_batches_are_read_when_they_are_wanted() -> None:
    read: list[int] = []

    def loader() -> Any:
        for i in range(4):
            read.append(i)
            yield i

    p = nn.Parameter(torch.ones(1))
    for window in zerograd.accumulate(loader(), zerograd.SGD([p]), every=2):
        for batch in window:
            assert read[-1] == batch
    assert read == [0, 1, 2, 3]


@pytest.mark.parametrize("divisor", [2, 4.0, torch.tensor(3)])
def test_step_divides(divisor: Any) -> None:
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.full((3,), 6.0)
    optimizer = zerograd.SGD([p], lr=1.0)
    optimizer.step(divide_by=divisor)
    assert torch.equal(p.detach(), torch.full((3,), -6.0 / float(divisor)))
    assert torch.equal(p.grad, torch.full((3,), 6.0))
    optimizer.step()
    assert torch.equal(p.detach(), torch.full((3,), -6.0 / float(divisor) - 6.0))


@pytest.mark.parametrize(
    ("divisor", "error"), [(0, ValueError), (-1.0, ValueError), (float("nan"), ValueError), ("four", TypeError)]
)
def test_a_step_refuses_a_divisor_that_is_none(divisor: Any, error: type[Exception]) -> None:
    p = nn.Parameter(torch.zeros(3))
    p.grad = torch.ones(3)
    with pytest.raises(error, match="divide_by"):
        zerograd.SGD([p], lr=1.0).step(divide_by=divisor)
    assert torch.equal(p.detach(), torch.zeros(3))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"every": 0}, ValueError), ({"every": 2.0}, TypeError), ({"optimizer": nn.Linear(1, 1)}, TypeError)],
)
def test_accumulate_refuses_at_once(arguments: dict[str, Any], error: type[Exception]) -> None:
    optimizer = zerograd.SGD([nn.Parameter(torch.zeros(1))])
    with pytest.raises(error):
        zerograd.accumulate([], **{"optimizer": optimizer, **arguments})


def test_losses_with_and_without_n_do_not_mix() -> None:
    p = nn.Parameter(torch.ones(1))
    window = next(iter(zerograd.accumulate([1, 2], zerograd.SGD([p]))))
    window.backward(p.sum(), n=2)
    with pytest.raises(ValueError, match="without"):
        window.backward(p.sum())
    with pytest.raises(ValueError, match="more than 0"):
        window.backward(p.sum(), n=-1)
    with pytest.raises(TypeError, match="one number"):
        window.backward(p.sum(), n=torch.tensor([1, 2]))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="reduction"):
        window.backward(p.sum(), n=1, reduction="median")  # type: ignore[arg-type]
    window.divide()
    with pytest.raises(RuntimeError, match="divided"):
        window.backward(p.sum(), n=1)
