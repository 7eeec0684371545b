"""Gradients that are not finite: let them through as torch does, leave the step out, or say which they are."""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from backends import backend
from dispatched import Asked
from engine.clipped import CASES, WORLDS, filled, give, make, whole
from engine.common import equal, noise, ours, snapshot
from zerograd import optim
from zerograd.kernels.cpu.table import SHORT

__all__ = ["backend"]
pytestmark = pytest.mark.usefixtures("backend")

ODD = [math.nan, math.inf, -math.inf]

by_case = pytest.mark.parametrize("case", CASES)


def spoil(p: Tensor, value: float) -> None:
    """One element of the gradient, the last."""
    assert p.grad is not None
    g = torch.view_as_real(p.grad) if p.grad.is_complex() else p.grad
    g[tuple(size - 1 for size in g.shape)] = value


def everything(optimizer: Any) -> tuple[list[Tensor], list[Any]]:
    """All tensors; and all else: which states there are, what the groups hold, how often memory was written."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    names = [sorted(optimizer.state[p]) if p in optimizer.state else None for p in params]
    groups = [{k: copy.copy(v) for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return snapshot(optimizer), [names, groups, len(optimizer.state), [p._version for p in params]]


def unchanged(before: tuple[list[Tensor], list[Any]], optimizer: Any) -> bool:
    after = everything(optimizer)
    return equal(before[0], after[0]) and before[1] == after[1]


# ------------------------------------------------------------------------------------------------------- propagate


@pytest.mark.parametrize("value", ODD)
@by_case
def test_to_propagate_is_what_torchs_clipping_does(case: str, value: float) -> None:
    """With error_if_nonfinite=False: nan makes all gradients nan; infinity makes itself nan, and all others zero."""
    params, twins = filled(*[torch.float64] * 4), filled(*[torch.float64] * 4)
    clipped, plain = make(case, params, clip=1.0), make(case, twins)
    for step in range(4):
        for own in (params, twins):
            give(own, step)
            if step == 2:
                spoil(own[1], value)
        clipped.step()
        found = torch.nn.utils.clip_grad_norm_(twins, 1.0, error_if_nonfinite=False)
        plain.step()
        torch.testing.assert_close(float(clipped.grad_norm), float(found), rtol=1e-12, atol=0, equal_nan=True)
        # Both norms are float64: a few roundings.
        torch.testing.assert_close(params, twins, rtol=1e-12, atol=1e-12, equal_nan=True)
    assert any(p.isnan().any() for p in params) or case == "Lion"


@by_case
def test_to_propagate_is_the_default_and_measures_nothing(case: str) -> None:
    params, twins = WORLDS["float32"](), WORLDS["float32"]()
    optimizers = make(case, params), make(case, twins, nonfinite="propagate")
    for own, optimizer in zip((params, twins), optimizers, strict=True):
        give(own, 0)
        spoil(own[1], math.nan)
        optimizer.step()
        assert optimizer.grad_norm is None
    torch.testing.assert_close(params, twins, rtol=0, atol=0, equal_nan=True)
    assert params[1].isnan().any() or case == "Lion"


def test_a_group_with_a_limit_of_its_own_keeps_its_nan_to_itself() -> None:
    params, twins = filled(*[torch.float64] * 3), filled(*[torch.float64] * 3)
    own = [{"params": params[:1], "clip": 1.0}, {"params": params[1:2], "clip": None}, {"params": params[2:]}]
    optimizer, twin = optim.SGD(own, lr=0.1, clip=0.5), optim.SGD(twins[2:], lr=0.1, clip=0.5)
    for each in (params, twins):
        give(each, 0)
    for p in params[:2]:
        spoil(p, math.nan)
    optimizer.step()
    twin.step()
    assert params[0].isnan().all()
    assert params[1].isnan().sum() == 1
    assert torch.equal(params[2], twins[2])
    assert math.isnan(optimizer.grad_norm)


# ------------------------------------------------------------------------------------------------------------ skip


@pytest.mark.parametrize(("steps", "clip"), [(0, 0.5), (1, None), (3, 0.5)])
@pytest.mark.parametrize("world", WORLDS)
@by_case
def test_a_skipped_step_changes_nothing(case: str, world: str, steps: int, clip: float | None) -> None:
    """And the next good one is as if the bad batch had never been. At the first step no state appears."""
    params, twins = WORLDS[world](), WORLDS[world]()
    optimizer, twin = make(case, params, nonfinite="skip", clip=clip), make(case, twins, clip=clip)
    for step in range(steps):
        for own, one in ((params, optimizer), (twins, twin)):
            give(own, step)
            one.step()
    for number, value in enumerate(ODD):
        give(params, 9 + number)
        spoil(params[number % 3], value)
        before = everything(optimizer)
        optimizer.step()
        assert unchanged(before, optimizer)
        assert not math.isfinite(optimizer.grad_norm)
    assert bool(optimizer.state) == (steps > 0)
    for step in range(steps, steps + 2):
        for own, one in ((params, optimizer), (twins, twin)):
            give(own, step)
            one.step()
    assert math.isfinite(optimizer.grad_norm)
    assert equal(snapshot(optimizer), snapshot(twin))
    assert everything(optimizer)[1] == everything(twin)[1]


def test_states_stay_the_very_objects() -> None:
    params = WORLDS["float32"]()
    optimizer = make("AdamW", params, nonfinite="skip")
    give(params, 0)
    optimizer.step()
    before = {name: (id(t), t.data_ptr()) for name, t in optimizer.state[params[0]].items()}
    spoil(params[0], math.nan)
    optimizer.step()
    assert {name: (id(t), t.data_ptr()) for name, t in optimizer.state[params[0]].items()} == before


def test_a_parameter_that_comes_late_gets_no_state_from_a_skipped_step() -> None:
    params = WORLDS["float32"]()
    optimizer = make("NAdam", params, nonfinite="skip")
    give(params[:2], 0)
    optimizer.step()
    give(params, 1)
    spoil(params[0], math.nan)
    before = everything(optimizer)
    optimizer.step()
    assert unchanged(before, optimizer)
    assert params[3] not in optimizer.state


def test_a_state_that_somebody_looked_at_stays_empty() -> None:
    """Reading optimizer.state[p] makes an empty dictionary of it."""
    params = WORLDS["float32"]()
    optimizer = make("AdamW", params, nonfinite="skip")
    assert not optimizer.state[params[0]]
    give(params, 0)
    spoil(params[0], math.nan)
    optimizer.step()
    assert not optimizer.state[params[0]]


@by_case
def test_a_loaded_checkpoint_outlives_a_skipped_step(case: str) -> None:
    params, twins = WORLDS["float32"](), WORLDS["float32"]()
    saved = make(case, twins)
    give(twins, 0)
    saved.step()
    with torch.no_grad():
        for p, q in zip(params, twins, strict=True):
            p.copy_(q)
    optimizer = make(case, params, nonfinite="skip")
    optimizer.load_state_dict(saved.state_dict())
    give(params, 1)
    spoil(params[0], math.nan)
    optimizer.step()
    assert equal(snapshot(optimizer), snapshot(saved))
    for own, one in ((params, optimizer), (twins, saved)):
        give(own, 2)
        one.step()
    assert equal(snapshot(optimizer), snapshot(saved))


def sparse(value: float) -> Tensor:
    rows = torch.tensor([[1.0, 2.0], [3.0, value], [1.0, 1.0]])
    return torch.sparse_coo_tensor([[0, 2, 2]], rows, (4, 2), check_invariants=True)


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_sparse_gradients_are_looked_at_too(name: str, nonfinite: str) -> None:
    params = [noise(1, 3).requires_grad_(), noise(0, 4, 2).requires_grad_()]
    optimizer = ours(name, params, lr=0.1, nonfinite=nonfinite)
    for value in (1.0, math.nan, 1.0):
        params[0].grad, params[1].grad = whole(0, 3).float(), sparse(value)
        before = everything(optimizer)
        if math.isfinite(value) or nonfinite == "skip":
            optimizer.step()
        else:
            with pytest.raises(RuntimeError, match="the gradients of parameter 1 of group 0;"):
                optimizer.step()
        assert unchanged(before, optimizer) == math.isnan(value)


def test_a_closure_returns_its_loss_though_the_step_is_skipped() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.SGD([p], lr=0.1, nonfinite="skip")

    def closure() -> float:
        p.grad = torch.full((3,), math.nan)
        return 7.0

    assert optimizer.step(closure) == 7.0
    assert torch.equal(p, noise(0, 3))


# ----------------------------------------------------------------------------------------------------------- raise


def network() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    for i, p in enumerate(model.parameters()):
        p.grad = noise(i, *p.shape)
    return model


def test_the_error_names_the_parameters() -> None:
    """Those with names by their names, and no others."""
    model = network()
    optimizer = optim.AdamW(model.named_parameters(), nonfinite="raise")
    optimizer.step()
    for at in (0, 2):
        spoil(model[at].weight, math.inf)
    with pytest.raises(RuntimeError, match=r"^AdamW: .* in the gradients of 0\.weight, 2\.weight; nothing was changed"):
        optimizer.step()
    assert math.isinf(optimizer.grad_norm)


def test_the_error_counts_where_there_are_no_names() -> None:
    model = network()
    optimizer = optim.SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], nonfinite="raise")
    spoil(model[2].bias, math.nan)
    with pytest.raises(RuntimeError, match=r"the gradients of parameter 1 of group 1; nothing.*nonfinite='skip'"):
        optimizer.step()


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("world", ["float32", "with a rest"])
@by_case
def test_a_step_that_raises_changes_nothing(case: str, world: str, steps: int) -> None:
    params, twins = WORLDS[world](), WORLDS[world]()
    optimizer, twin = make(case, params, nonfinite="raise"), make(case, twins)
    for step in range(steps):
        for own, one in ((params, optimizer), (twins, twin)):
            give(own, step)
            one.step()
    give(params, 9)
    spoil(params[1], math.nan)
    before = everything(optimizer)
    with pytest.raises(RuntimeError, match="nothing was changed"):
        optimizer.step()
    assert unchanged(before, optimizer)
    for own, one in ((params, optimizer), (twins, twin)):
        give(own, steps)
        one.step()
    assert equal(snapshot(optimizer), snapshot(twin))


# --------------------------------------------------------------------------------------------- finite, though large


def fill(params: Sequence[Tensor], value: float) -> None:
    for p in params:
        p.grad = torch.full_like(p, value)


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
@by_case
def test_large_gradients_are_not_taken_for_infinite(case: str, nonfinite: str) -> None:
    """The squares of 1e200 are infinite even in float64, hence the norm is too. But the gradients are not."""
    params, twins = filled(*[torch.float64] * 4), filled(*[torch.float64] * 4)
    optimizer, twin = make(case, params, nonfinite=nonfinite), make(case, twins)
    for step in range(3):
        for own, one in ((params, optimizer), (twins, twin)):
            fill(own, 1e200 / (step + 1))
            one.step()
        assert math.isinf(optimizer.grad_norm)
    torch.testing.assert_close(params, twins, rtol=0, atol=0, equal_nan=True)
    assert float(optimizer.state[params[0]].get("step", 3.0)) == 3


@pytest.mark.parametrize("nonfinite", ["propagate", "skip", "raise"])
def test_a_norm_that_overflows_clips_to_zero_as_in_torch(nonfinite: str) -> None:
    params, twins = filled(*[torch.float64] * 2), filled(*[torch.float64] * 2)
    optimizer, twin = make("AdamW", params, nonfinite=nonfinite, clip=1.0), make("AdamW", twins)
    for _ in range(2):
        fill(params, 1e200)
        fill(twins, 1e200)
        optimizer.step()
        assert torch.nn.utils.clip_grad_norm_(twins, 1.0).isinf()
        twin.step()
    assert equal(snapshot(optimizer), snapshot(twin))


# --------------------------------------------------------------------------------------------- cost and arguments


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
def test_the_look_at_the_gradients_asks_torch_for_nothing(nonfinite: str, backend: str) -> None:
    if backend == "eager":
        pytest.skip("operations are what the eager way consists of")
    params = WORLDS["float32"]()
    optimizer = make("AdamW", params, nonfinite=nonfinite)
    for step in range(3):
        give(params, step)
        with Asked() as seen:
            optimizer.step()
    assert seen.operations == []


@pytest.mark.parametrize("nonfinite", ["skip", "raise"])
def test_a_step_that_is_left_out_keeps_no_gradient_alive(nonfinite: str) -> None:
    """Of a large model, whose kernels run without Python's lock: its plan holds the gradients meanwhile."""
    p = torch.zeros(SHORT + 1).requires_grad_()
    optimizer = optim.SGD([p], lr=0.1, nonfinite=nonfinite)
    for value in (1.0, 1.0, math.nan):
        p.grad = torch.full_like(p, value)
        with contextlib.suppress(RuntimeError):
            optimizer.step()
    gradient = weakref.ref(p.grad)
    optimizer.zero_grad()
    gc.collect()
    assert gradient() is None


@pytest.mark.parametrize("value", ["ignore", "Skip", None, True, ["skip"]], ids=str)
def test_another_word_is_refused(value: Any) -> None:
    """With the value, and those that there are."""
    params = WORLDS["float32"]()
    with pytest.raises(ValueError, match=r"AdamW: nonfinite=.*'propagate', 'skip', 'raise'") as raised:
        optim.AdamW(params, nonfinite=value)
    assert repr(value) in str(raised.value)
