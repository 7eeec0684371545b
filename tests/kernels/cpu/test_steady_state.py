"""The steady state: from the second step on nothing is compiled, and torch is asked for nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

import zerograd
from dispatched import Asked
from kernels.cpu.conftest import Made
from kernels.cpu.running import UNEVEN, give, model
from zerograd.kernels.cpu.table import COUNTER, Table

SMALL: tuple[tuple[int, ...], ...] = ((17, 3), (5,), (), (2, 3, 4), (0,))
SIZES = {"small": SMALL, "large": UNEVEN}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1}),
    "SGD momentum": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "SGD nesterov": ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "Adam": ("Adam", {"weight_decay": 0.1}),
    "AdamW": ("AdamW", {}),
    "AdamW amsgrad": ("AdamW", {"amsgrad": True}),
    "Lion": ("Lion", {"weight_decay": 0.1}),
    "Adagrad": ("Adagrad", {}),
    "RMSprop": ("RMSprop", {"momentum": 0.9, "centered": True}),
    "Adamax": ("Adamax", {}),
    "Adadelta": ("Adadelta", {}),
    "Rprop": ("Rprop", {}),
    "RAdam": ("RAdam", {}),
}


def optimizer_of(case: str, params: Any, **more: Any) -> Any:
    name, hypers = CASES[case]
    return getattr(zerograd, name)(params, **{**hypers, **more})


def asked_by(step: Callable[[], object]) -> list[str]:
    with Asked() as asked:
        step()
    return asked.operations


def give_in_place(params: Sequence[Tensor], seed: int) -> None:
    """New gradients in the memory of the old ones, as ``zero_grad(set_to_none=False)`` leaves it."""
    kept = [p.grad for p in params]
    give(params, seed)
    for p, g in zip(params, kept, strict=True):
        if g is not None and p.grad is not None:
            p.grad = g.copy_(p.grad)


def keep(params: Sequence[Tensor], seed: int) -> None:
    """The gradients of the first step for ever."""
    if seed == 0:
        give(params, seed)


@pytest.mark.parametrize("gradients", [give, give_in_place, keep], ids=["fresh", "in-place", "same"])
@pytest.mark.parametrize("shapes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("case", CASES)
def test_a_steady_step_asks_torch_for_nothing(
    case: str, shapes: tuple[tuple[int, ...], ...], gradients: Callable[[Sequence[Tensor], int], None]
) -> None:
    params = model(shapes)
    optimizer = optimizer_of(case, [{"params": params[:2]}, {"params": params[2:], "lr": 0.01}])
    for step in range(6):
        gradients(params, step)
        before = [p.detach().clone() for p in params]
        operations = asked_by(optimizer.step)
        assert step < 2 or operations == [], f"step {step + 1}"
        still = [torch.equal(p, old) for p, old in zip(params, before, strict=True) if p.numel() > 1]
        assert not any(still), "a step that does nothing asks for nothing"


def test_what_is_asked_for_is_seen() -> None:
    """The mode that these tests trust sees the operations of a first step, of torch's optimizers, and allocations."""
    params = model(SMALL)
    give(params, 0)
    optimizer = zerograd.Adam(params)
    assert any("zeros" in name or "empty" in name for name in asked_by(optimizer.step))
    assert asked_by(torch.optim.SGD(params, foreach=False).step)
    assert asked_by(lambda: torch.empty(3)) == ["aten.empty.memory_format"]
    assert asked_by(lambda: params[0].detach().clone()) != []


def test_a_step_after_zero_grad_asks_for_nothing() -> None:
    params = model(SMALL)
    optimizer = optimizer_of("AdamW", params)
    for step in range(5):
        optimizer.zero_grad()
        give(params, step)
        operations = asked_by(optimizer.step)
        assert step < 2 or operations == []
    assert asked_by(optimizer.zero_grad) == []


@pytest.mark.parametrize("shapes", SIZES.values(), ids=SIZES)
@pytest.mark.parametrize("case", ["SGD momentum", "AdamW"])
def test_a_schedule_asks_torch_for_nothing(case: str, shapes: tuple[tuple[int, ...], ...], made: Made) -> None:
    """Fifty steps of a schedule that moves the learning rate and the momentum, or betas."""
    params = model(shapes)
    optimizer = optimizer_of(case, params)
    schedule = OneCycleLR(optimizer, max_lr=0.1, total_steps=55)
    found: list[list[str]] = []
    for step in range(52):
        give(params[:3], step)
        if step == 0:
            give(params, step)
        if step == 1:
            made.clear()
        operations = asked_by(optimizer.step)
        found += [operations] if step > 1 else []
        schedule.step()
    assert found == [[]] * 50
    assert made.compiled == []
    assert made.loaded == []


# ------------------------------------------------------------------------------------------------- one launch


@pytest.fixture
def launches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The addresses of the kernels that tables were asked to run, from Python."""
    seen: list[int] = []
    launch = Table.launch

    def counted(self: Table, address: int) -> None:
        seen.append(address)
        launch(self, address)

    monkeypatch.setattr(Table, "launch", counted)
    return seen


@pytest.mark.parametrize("case", CASES)
def test_a_uniform_model_is_one_kernel_and_one_launch_a_step(case: str, launches: list[int]) -> None:
    for shapes in SIZES.values():
        params = model(shapes)
        decay = {} if case == "Rprop" else {"weight_decay": 0.1}
        optimizer = optimizer_of(case, [{"params": params[:2]}, {"params": params[2:], "lr": 0.01, **decay}])
        for step in range(5):
            give(params, step)
            launches.clear()
            optimizer.step()
            (bucket,) = optimizer._plan.buckets
            (function,) = bucket.kernel.functions
            assert launches in ([], [function.address])
            # Each run of a kernel takes all chunks, and then each of its threads one that is not there any more: one.
            table = bucket.table
            assert table._descriptor[COUNTER] == len(table._chunks) + 1
            assert len(bucket.params) == len(params)


def test_parameters_of_two_dtypes_are_two_launches(launches: list[int]) -> None:
    """The count of these tests sees more than one."""
    params = [*model([(PAIR,), (3,)]), *model([(PAIR,)], torch.float64)]
    optimizer = zerograd.AdamW(params)
    for step in range(3):
        give(params, step)
        launches.clear()
        optimizer.step()
        assert len(launches) == len(set(launches)) == len(optimizer._plan.buckets) == 2  # type: ignore[union-attr]


PAIR = 40_000
"""Enough elements for a table to be launched by itself."""


# ----------------------------------------------------------------------------------------- nothing compiled anew


@pytest.mark.parametrize("case", CASES)
def test_the_second_step_makes_nothing(case: str, made: Made) -> None:
    params = model(SMALL)
    optimizer = optimizer_of(case, params)
    for step in range(4):
        give(params, step)
        made.clear()
        optimizer.step()
        assert step == 0 or made == Made()


NUMBERS: dict[str, list[dict[str, Any]]] = {
    "SGD momentum": [{"momentum": 0.5}, {"dampening": 0.3}, {"dampening": 0.0}],
    "SGD nesterov": [{"momentum": 0.5}],
    "Adam": [{"betas": (0.8, 0.9)}, {"betas": (0.0, 0.5)}, {"eps": 1e-3}, {"eps": 0.0}],
    "AdamW": [{"betas": (0.8, 0.9)}, {"eps": 1e-3}],
    "AdamW amsgrad": [{"betas": (0.8, 0.9)}, {"eps": 1e-3}],
    "Lion": [{"betas": (0.8, 0.9)}],
    "Adagrad": [{"lr_decay": 0.1}, {"lr_decay": 0.0}, {"eps": 1e-3}],
    "RMSprop": [{"momentum": 0.5}, {"alpha": 0.9}, {"eps": 1e-3}],
    "Adamax": [{"betas": (0.8, 0.9)}, {"eps": 1e-3}],
    "Adadelta": [{"rho": 0.5}, {"eps": 1e-3}],
}
EVERYWHERE: list[dict[str, Any]] = [
    {"lr": 0.02}, {"lr": 1}, {"lr": 0.0}, {"lr": 0.01}, {"weight_decay": 0.0}, {"weight_decay": 0.2},
    {"weight_decay": 0}, {"weight_decay": 0.1, "lr": 0.03}, {"maximize": True}, {"maximize": False},
]  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS)
def test_another_number_makes_nothing_and_is_obeyed(case: str, made: Made) -> None:
    """Step by step beside torch's optimizer of the same name, in float64, with the same changes."""
    name, hypers = CASES[case]
    own, other = model(SMALL, torch.float64), model(SMALL, torch.float64)
    optimizer = getattr(zerograd, name)(own, **hypers)
    reference = getattr(torch.optim, name)(other, foreach=False, **hypers) if hasattr(torch.optim, name) else None
    changes: list[dict[str, Any]] = [{}, {}, *EVERYWHERE, *NUMBERS[case], {}]
    for step, change in enumerate(changes):
        before = [p.detach().clone() for p in own]
        give(own, step)
        give(other, step)
        made.clear()
        optimizer.param_groups[0].update(change)
        optimizer.step()
        assert step == 0 or made == Made(), change
        still = [torch.equal(p, old) for p, old in zip(own, before, strict=True) if p.numel()]
        assert still == [optimizer.param_groups[0]["lr"] == 0.0] * 4
        if reference is not None:
            reference.param_groups[0].update(change)
            reference.step()
            for p, q in zip(own, other, strict=True):
                torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-11, msg=f"{change}")


def test_a_hundred_learning_rates_make_nothing(made: Made) -> None:
    params = model(SMALL)
    optimizer = optimizer_of("AdamW", params)
    schedule = CosineAnnealingLR(optimizer, 100)
    for step in range(100):
        give(params[:1], step)
        if step == 1:
            made.clear()
        optimizer.step()
        schedule.step()
    assert made == Made()


def test_groups_with_other_numbers_share_a_kernel_and_a_table(made: Made) -> None:
    params = model(SMALL)
    alone = optimizer_of("AdamW", params)
    give(params, 0)
    alone.step()
    made.clear()
    groups = [
        {"params": params[:2], "lr": 0.1, "weight_decay": 0.0},
        {"params": params[2:4], "lr": 0.2, "weight_decay": 0.1},
        {"params": params[4:], "betas": (0.5, 0.6), "eps": 1e-3, "maximize": True},
    ]
    optimizer = optimizer_of("AdamW", groups)
    for step in range(3):
        give(params, step)
        optimizer.step()
        (bucket,) = optimizer._plan.buckets
        assert len(bucket.rows) == len(groups)
        assert len(bucket.params) == len(params)
        assert bucket.kernel is alone._plan.buckets[0].kernel
    assert made == Made()


def test_optimizers_of_one_class_share_their_code_and_nothing_else(made: Made) -> None:
    params = [model(SMALL), model(SMALL[:3])]
    optimizers = [optimizer_of("Adam", params[0]), optimizer_of("Adam", params[1], lr=0.5, betas=(0.1, 0.2))]
    for step in range(3):
        for number, (optimizer, own) in enumerate(zip(optimizers, params, strict=True)):
            give(own, step)
            if number == 1:
                made.clear()
            optimizer.step()
    first, second = (optimizer._plan.buckets[0] for optimizer in optimizers)
    assert first.kernel is second.kernel
    assert first.table is not second.table
    assert made == Made()


def test_a_model_with_no_gradient_yet_makes_nothing(made: Made) -> None:
    params = model(SMALL)
    optimizer = optimizer_of("AdamW", params)
    assert asked_by(optimizer.step) == []
    assert made == Made()
