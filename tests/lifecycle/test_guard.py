"""The guard on one optimizer: what it says, how it says it, and that it leaves everything as it was."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import zerograd
from zerograd.lifecycle.findings import Finding

OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "zerograd.AdamW": lambda params: zerograd.AdamW(params, lr=0.01),
    "torch.SGD": lambda params: torch.optim.SGD(params, lr=0.01),
}
LEVELS = ("default", "strict")
INPUTS = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))

Cycle = Callable[[nn.Module, torch.optim.Optimizer], None]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def backward(model: nn.Module) -> None:
    model(INPUTS).square().mean().backward()


def right(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    backward(model)
    optimizer.step()


def forgotten(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    backward(model)
    optimizer.step()


def cleared_too_late(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    backward(model)
    optimizer.zero_grad()
    optimizer.step()


def set_to_zeros_too_late(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    backward(model)
    for p in model.parameters():
        assert p.grad is not None
        p.grad.data.zero_()
    optimizer.step()


def no_backward(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(INPUTS)
    optimizer.step()


def stepped_twice(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    right(model, optimizer)
    optimizer.step()


def cleared_in_the_window(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        backward(model)
    optimizer.step()


def cleared_by_hand_in_the_window(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        for p in model.parameters():
            p.grad = None
        backward(model)
    optimizer.step()


def forgotten_in_a_closure(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    def closure() -> Any:
        loss = model(INPUTS).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)


def never_stepped(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    backward(model)


WRONG = {
    forgotten: "ZG101",
    forgotten_in_a_closure: "ZG101",
    cleared_too_late: "ZG103",
    set_to_zeros_too_late: "ZG103",
    no_backward: "ZG110",
    stepped_twice: "ZG111",
    cleared_in_the_window: "ZG105",
    cleared_by_hand_in_the_window: "ZG105",
    never_stepped: "ZG105",
}

by_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def said(cycle: Cycle, make: Any, cycles: int, level: str = "default") -> list[Finding]:
    model = network()
    optimizer = make(model.parameters())
    findings: list[Finding] = []
    with zerograd.guard(optimizer, model, action=findings.append, level=level):
        for _ in range(cycles):
            cycle(model, optimizer)
    return findings


@pytest.mark.parametrize("cycles", [3, 20])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cycle", WRONG, ids=lambda cycle: cycle.__name__)
@by_optimizer
def test_a_wrong_cycle_is_named_once_with_a_count(make: Any, cycle: Cycle, level: str, cycles: int) -> None:
    (finding,) = said(cycle, make, cycles, level)
    assert finding.code == WRONG[cycle]
    assert finding.count >= cycles - 1
    assert finding.parameters == [name for name, _ in network().named_parameters()]
    assert {site.file for site in finding.sites} == {__file__}
    assert str(finding).startswith(f"{finding.code} {finding.name}: ")
    assert all(str(site) in finding.message for site in finding.sites)


@pytest.mark.parametrize("cycle", [forgotten, cleared_too_late], ids=lambda cycle: cycle.__name__)
@by_optimizer
def test_two_cycles_are_enough(make: Any, cycle: Cycle) -> None:
    assert [finding.code for finding in said(cycle, make, 2)] == [WRONG[cycle]]


def with_zeros(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad(set_to_none=False)
    backward(model)
    optimizer.step()


def through_the_model(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.zero_grad()
    backward(model)
    optimizer.step()


def zeros_unseen_by_versions(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for p in model.parameters():
        if p.grad is not None:
            p.grad.data.zero_()
    backward(model)
    optimizer.step()


def multiplied_with_zero(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    if gradients:
        torch._foreach_mul_(gradients, 0.0)
    backward(model)
    optimizer.step()


def in_windows(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        backward(model)
    optimizer.step()
    optimizer.zero_grad()


def clipped(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    backward(model)
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    optimizer.step()


RIGHT = [right, with_zeros, through_the_model, zeros_unseen_by_versions, multiplied_with_zero, in_windows, clipped]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cycle", RIGHT, ids=lambda cycle: cycle.__name__)
@by_optimizer
def test_a_right_cycle_is_left_in_peace(make: Any, cycle: Cycle, level: str) -> None:
    assert said(cycle, make, 60, level) == []


LATE = [forgotten, cleared_too_late, no_backward, stepped_twice, cleared_in_the_window, cleared_by_hand_in_the_window]


@pytest.mark.parametrize("cycle", LATE, ids=lambda cycle: cycle.__name__)
@pytest.mark.parametrize(("before", "cycles"), [(40, 10), (130, 16), (135, 16), (137, 16)], ids="{0}".format)
@by_optimizer
def test_what_goes_wrong_later_is_found_too(make: Any, before: int, cycles: int, cycle: Cycle) -> None:
    """After the first cycles only one parameter is looked at; it raises the alarm."""
    model = network()
    optimizer = make(model.parameters())
    findings: list[Finding] = []
    with zerograd.guard(optimizer, model, action=findings.append):
        for _ in range(before):
            right(model, optimizer)
        assert sum(bool(p._post_accumulate_grad_hooks) for p in model.parameters()) == 1, "one stands for all"
        for _ in range(cycles):
            cycle(model, optimizer)
    assert {finding.code for finding in findings} == {WRONG[cycle]}


@pytest.mark.parametrize(("cycle", "every"), [(forgotten, 10), (stepped_twice, 30)], ids=["forgotten", "stepped twice"])
def test_what_goes_wrong_now_and_then_is_found_too(cycle: Cycle, every: int) -> None:
    """The alarm is raised again and again, and each time it is watched closely for longer."""
    model = network()
    optimizer = zerograd.SGD(model.parameters(), lr=1e-3)
    findings: list[Finding] = []
    with zerograd.guard(optimizer, model, action=findings.append):
        for turn in range(1, 301):
            (right if turn % every else cycle)(model, optimizer)
    assert {finding.code for finding in findings} == {WRONG[cycle]}


def test_parameters_that_come_in_the_first_cycles_are_watched_for_some() -> None:
    """The first sentinel stands at a parameter that was there before."""
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
    optimizer = zerograd.SGD(model[1].parameters(), lr=1e-3)
    findings: list[Finding] = []
    with zerograd.guard(optimizer, model, action=findings.append):
        for turn in range(12):
            if turn == 6:
                optimizer.add_param_group({"params": model[0].parameters()})
                model[0].zero_grad()
            model[1].zero_grad()
            backward(model)
            optimizer.step()
    assert [(finding.code, finding.parameters) for finding in findings] == [("ZG101", ["0.weight", "0.bias"])]


def test_a_guard_on_one_of_two_optimizers_knows_of_the_other() -> None:
    """The generator's backward leaks into the discriminator, whose clear throws it away; the generator has no guard."""
    generator, discriminator = nn.Linear(2, 3), network()
    ours, other = zerograd.SGD(discriminator.parameters()), torch.optim.SGD(generator.parameters())
    findings: list[Finding] = []
    with zerograd.guard(ours, action=findings.append):
        for _ in range(3):
            fake = generator(torch.ones(4, 2))
            ours.zero_grad()
            discriminator(fake.detach()).mean().backward()
            ours.step()
            other.zero_grad()
            (-discriminator(fake).mean()).backward()
            other.step()
    assert findings == []


def test_an_optimizer_that_never_finds_anything_is_named_at_the_end() -> None:
    model, used = network(), network()
    optimizer = zerograd.SGD(model.parameters())
    findings: list[Finding] = []
    with zerograd.guard(optimizer, action=findings.append), zerograd.guard(zerograd.SGD(used.parameters())):
        for _ in range(3):
            optimizer.zero_grad()
            used.zero_grad()
            backward(used)
            optimizer.step()
    assert [finding.code for finding in findings] == ["ZG110"]


# ------------------------------------------------------------------------------------------------------- how it is said


@by_optimizer
def test_it_warns(make: Any) -> None:
    model = network()
    optimizer = make(model.parameters())
    with warnings.catch_warnings(record=True) as caught, zerograd.guard(optimizer, model):
        warnings.simplefilter("always")
        for _ in range(5):
            forgotten(model, optimizer)
    (warning,) = caught
    assert warning.category is zerograd.HazardWarning
    assert "ZG101 missing-zero-grad: step 2 of" in str(warning.message)
    assert warning.filename == __file__


@pytest.mark.parametrize("way", ["raise", "warnings as errors"])
@by_optimizer
def test_it_raises_in_place_of_the_step(make: Any, way: str) -> None:
    model = network()
    optimizer = make(model.parameters())
    expected = zerograd.HazardError if way == "raise" else zerograd.HazardWarning
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        handle = zerograd.guard(optimizer, model, action="raise" if way == "raise" else "warn")
        forgotten(model, optimizer)
        forgotten(model, optimizer)
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(expected, match="ZG101"):
            forgotten(model, optimizer)
        assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
        optimizer.zero_grad()
        right(model, optimizer)
        handle.remove()


@by_optimizer
def test_the_handle_keeps_the_findings_and_ends_the_watch(make: Any) -> None:
    model = network()
    optimizer = make(model.parameters())
    said_once: list[Finding] = []
    handle = zerograd.guard(optimizer, model, action=said_once.append)
    assert isinstance(handle, torch.utils.hooks.RemovableHandle)
    for _ in range(3):
        forgotten(model, optimizer)
    handle.remove()
    handle.remove()
    assert handle.findings == said_once
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    assert "zero_grad" not in optimizer.__dict__
    assert all(p._backward_hooks is None for p in model.parameters())
    for _ in range(3):
        forgotten(model, optimizer)
    assert [finding.count for finding in said_once] == [2]


@by_optimizer
def test_nothing_is_computed_differently_or_kept_alive(make: Any) -> None:
    model, other = network(), network()
    optimizer, reference = make(model.parameters()), make(other.parameters())
    handle = zerograd.guard(optimizer, model)
    for _ in range(12):
        right(model, optimizer)
        right(other, reference)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert pickle.loads(pickle.dumps(optimizer)).state_dict().keys() == reference.state_dict().keys()
    copied = copy.deepcopy(optimizer)
    assert not copied._optimizer_step_post_hooks
    gradient = next(model.parameters()).grad
    assert gradient is not None
    gone = [weakref.ref(gradient), weakref.ref(optimizer), weakref.ref(next(model.parameters()))]
    del gradient, optimizer, model, copied, handle
    gc.collect()
    assert [ref() for ref in gone] == [None, None, None]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"optimizer": nn.Linear(1, 1)}, TypeError),
        ({"model": 3}, TypeError),
        ({"action": "shout"}, ValueError),
        ({"level": "high"}, ValueError),
    ],
)
def test_what_it_can_not_watch_is_refused(arguments: dict[str, Any], error: type[Exception]) -> None:
    optimizer = zerograd.SGD([nn.Parameter(torch.zeros(1))])
    with pytest.raises(error, match="guard"):
        zerograd.guard(**{"optimizer": optimizer, **arguments})
    assert not optimizer._optimizer_step_pre_hooks
