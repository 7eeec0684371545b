"""Where a limit stands: in the constructor, in a group, in neither; and that it is obeyed from the next step on."""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import pickle
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from backends import backend
from engine.clipped import WORLDS, MarsAdam, filled, give, make, quarter
from engine.common import equal, noise, ours, snapshot, torchs
from zerograd import RuleOptimizer, optim
from zerograd.lifecycle.clipping import EPS, GlobalNorm

__all__ = ["backend"]
pytestmark = pytest.mark.usefixtures("backend")

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
"""In float64, as sums may be added in another order."""
ABSENT = "absent"


def doubles(*, rest: bool = False) -> list[Tensor]:
    """Four parameters; with a rest, two of them are served by no kernel."""
    params = filled(*[torch.float64] * 4)
    for at in (1, 2) if rest else ():
        params[at] = noise(at, 4, 6, dtype=torch.float64)[:, ::2].requires_grad_()
    return params


def factors(grads: Sequence[Sequence[Tensor]], common: float | None, own: Sequence[Any]) -> list[float]:
    """What each group's gradients are multiplied by, written down a second time. own: the groups' keys, or ABSENT."""
    squares = [sum(float(g.double().square().sum()) for g in group) for group in grads]
    shared = math.sqrt(sum(amount for amount, limit in zip(squares, own, strict=True) if limit == ABSENT))
    found = []
    for amount, limit in zip(squares, own, strict=True):
        norm, limit = (shared, common) if limit == ABSENT else (math.sqrt(amount), limit)
        found.append(1.0 if limit is None else min(1.0, limit / (norm + EPS)))
    return found


def give_both(optimizer: Any, twin: Any, step: int, common: float | None, own: Sequence[Any]) -> list[float]:
    """The same gradients to both, those of the twin multiplied by what the limits make of them."""
    groups = [group["params"] for group in optimizer.param_groups]
    for number, group in enumerate(groups):
        for at, p in enumerate(group):
            p.grad = noise(100 * step + 10 * number + at, *p.shape, dtype=p.dtype)
    by = factors([[p.grad for p in group] for group in groups], common, own)
    for factor, group, others in zip(by, groups, [group["params"] for group in twin.param_groups], strict=True):
        for p, q in zip(group, others, strict=True):
            q.grad = p.grad * factor
    return by


def set_limit(group: dict[str, Any], limit: Any) -> None:
    if limit == ABSENT:
        group.pop("clip", None)
    else:
        group["clip"] = limit


@pytest.mark.parametrize("rest", [False, True], ids=["", "with a rest"])
@pytest.mark.parametrize("common", [None, 0.7])
@pytest.mark.parametrize("name", ["SGD", "AdamW", "LAMB", "Prodigy"])
def test_a_group_is_clipped_by_its_own_norm_and_left_out_of_the_common_one(
    name: str, common: float | None, rest: bool
) -> None:
    own = [0.5, ABSENT, None, ABSENT]
    params, twins = doubles(rest=rest), doubles(rest=rest)
    groups = [
        {"params": [p], **({} if limit == ABSENT else {"clip": limit})} for p, limit in zip(params, own, strict=True)
    ]
    optimizer, twin = ours(name, groups, lr=1.0, clip=common), ours(name, [{"params": [q]} for q in twins], lr=1.0)
    for step in range(4):
        by = give_both(optimizer, twin, step, common, own)
        assert by[0] < 1
        assert by[2] == 1
        assert (by[1] < 1) == (common is not None)
        optimizer.step()
        twin.step()
        whole = math.sqrt(sum(float(p.grad.square().sum()) for p in params))
        assert float(optimizer.grad_norm) == pytest.approx(whole, rel=1e-12)  # of all groups
    torch.testing.assert_close(params, twins, **CLOSE)


LIMITS: list[Any] = [ABSENT, None, 0.5, 0.2]


@pytest.mark.parametrize("rest", [False, True], ids=["", "with a rest"])
@pytest.mark.parametrize("common", [None, 0.7], ids=["no common limit", "a common limit"])
@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(LIMITS, 2)), ids=str)
def test_a_change_between_steps_is_obeyed(before: Any, after: Any, common: float | None, rest: bool) -> None:
    """Also when a plan has settled."""
    params, twins = doubles(rest=rest), doubles(rest=rest)
    optimizer, twin = make("SGD", params, clip=common), make("SGD", twins)
    for step, limit in enumerate([before] * 3 + [after] * 3 + [before] * 2):
        set_limit(optimizer.param_groups[0], limit)
        give_both(optimizer, twin, step, common, [limit, ABSENT])
        optimizer.step()
        twin.step()
        torch.testing.assert_close(params, twins, **CLOSE)


@pytest.mark.parametrize("number", [False, True], ids=["policy", "number"])
def test_a_change_of_the_optimizers_own_limit_is_obeyed(number: bool) -> None:
    params, twins = doubles(), doubles()
    optimizer, twin = make("SGD", params), make("SGD", twins)
    for step in range(6):
        if step == 3:
            optimizer.clip = 0.5 if number else GlobalNorm(0.5)
        give_both(optimizer, twin, step, None if step < 3 else 0.5, [ABSENT, ABSENT])
        optimizer.step()
        twin.step()
    torch.testing.assert_close(params, twins, **CLOSE)


def test_the_norm_is_none_when_nobody_asks_any_more() -> None:
    params = doubles()
    optimizer = make("SGD", params)
    optimizer.param_groups[0]["clip"] = 1.0
    give(params, 0)
    optimizer.step()
    assert optimizer.grad_norm is not None
    del optimizer.param_groups[0]["clip"]
    optimizer.step()
    assert optimizer.grad_norm is None


# -------------------------------------------------------------------------------------------------- the arguments


def test_every_class_takes_both_by_keyword_only() -> None:
    every = [cls for name in optim.__all__ if issubclass(cls := getattr(optim, name), RuleOptimizer)]
    for cls in [*every, MarsAdam]:
        taken = inspect.signature(cls).parameters
        assert [taken[name].default for name in ("clip", "nonfinite")] == [None, "propagate"]
        assert all(taken[name].kind is inspect.Parameter.KEYWORD_ONLY for name in ("clip", "nonfinite"))


BAD: list[tuple[Any, type[Exception]]] = [
    (0, ValueError), (-1.0, ValueError), (math.nan, ValueError),
    (True, TypeError), ("1", TypeError), ([1.0], TypeError),
]  # fmt: skip


@pytest.mark.parametrize(("clip", "error"), BAD, ids=str)
def test_a_limit_that_is_none_is_refused(clip: Any, error: type[Exception]) -> None:
    """With its value and what it must be."""
    params = WORLDS["float32"]()
    with pytest.raises(error, match=r"SGD: clip.*must be .*the largest norm of all gradients") as raised:
        optim.SGD(params, lr=0.1, clip=clip)
    assert repr(clip) in str(raised.value)
    group = {"params": params, "clip": clip}
    with pytest.raises(error, match="clip"):
        optim.SGD([group], lr=0.1)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
def test_a_copy_clips_as_well(duplicate: Callable[[Any], Any]) -> None:
    params = WORLDS["float32"]()
    give(params, 0)
    optimizer = make("AdamW", params, clip=quarter(params), nonfinite="skip")
    optimizer.step()
    twin = duplicate(optimizer)
    assert twin.clip == optimizer.clip
    assert twin.nonfinite == "skip"
    for one in (optimizer, twin):
        give([p for group in one.param_groups for p in group["params"]], 1)
        one.step()
    assert equal(snapshot(optimizer), snapshot(twin))
    assert twin.grad_norm == optimizer.grad_norm


@pytest.mark.parametrize(("clip", "error"), BAD, ids=str)
def test_a_group_with_a_bad_limit_is_not_added(clip: Any, error: type[Exception]) -> None:
    params = WORLDS["float32"]()
    optimizer = optim.AdamW(params[:2], clip=1.0)
    group = {"params": params[2:], "clip": clip, "weight_decay": optim.l2(0.1)}
    before = dict(group)
    with pytest.raises(error, match="clip"):
        optimizer.add_param_group(group)
    assert len(optimizer.param_groups) == 1
    assert group == before


@pytest.mark.parametrize("steps", [0, 3])
def test_a_bad_limit_that_is_set_later_is_refused_by_the_step(steps: int) -> None:
    params = WORLDS["float32"]()
    optimizer = make("AdamW", params, clip=1.0)
    for step in range(steps):
        give(params, step)
        optimizer.step()
    give(params, 9)
    optimizer.param_groups[1]["clip"] = -1.0
    before = snapshot(optimizer)
    with pytest.raises(ValueError, match=r"clip=-1\.0 must be more than 0"):
        optimizer.step()
    assert equal(before, snapshot(optimizer))
    optimizer.param_groups[1]["clip"] = 1.0
    optimizer.step()
    assert float(optimizer.state[params[0]]["step"]) == steps + 1


# ------------------------------------------------------------------------------------------------- copies and files


def test_the_limit_stands_in_no_group_and_in_no_checkpoint() -> None:
    """Unless the user puts it into a group."""
    params = WORLDS["float32"]()
    optimizer = make("AdamW", params, clip=1.0, nonfinite="skip")
    assert not {"clip", "nonfinite"} & {*optimizer.defaults, *optimizer.param_groups[0]}
    optimizer.param_groups[1]["clip"] = 0.5
    saved = optimizer.state_dict()["param_groups"]
    assert "clip" not in saved[0]
    assert saved[1]["clip"] == 0.5
    assert not any("nonfinite" in group for group in saved)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "NAdam"])
def test_checkpoints_go_to_torch_and_back(name: str) -> None:
    hypers = {"lr": 0.1, **({"momentum": 0.9} if name == "SGD" else {})}
    params, twins = filled(*[torch.float64] * 4), filled(*[torch.float64] * 4)
    give(params, 0)
    limit, own = quarter(params[:2]), quarter(params[2:])
    optimizer = ours(name, [{"params": params[:2]}, {"params": params[2:], "clip": own}], clip=limit, **hypers)
    theirs = torchs(name, [{"params": twins[:2]}, {"params": twins[2:]}], **hypers)

    def their_step(step: int) -> None:
        give(twins, step, 1 / 4)
        theirs.step()

    for step in range(2):
        give(params, step)
        optimizer.step()
        their_step(step)
    theirs.load_state_dict(optimizer.state_dict())
    their_step(2)
    with torch.no_grad():
        for p, q in zip(params, twins, strict=True):
            p.copy_(q)
    optimizer.load_state_dict({**theirs.state_dict(), "param_groups": torchs_groups(theirs)})
    assert optimizer.clip == GlobalNorm(limit)
    assert optimizer.param_groups[1]["clip"] == own
    give(params, 3)
    optimizer.step()
    their_step(3)
    # torch keeps step counts in float32, and powers of the betas that hang on them.
    torch.testing.assert_close(params, twins, rtol=1e-6, atol=1e-7)


def torchs_groups(theirs: Any) -> list[dict[str, Any]]:
    """As an optimizer of torch's that has never seen ours saves them: without our keys."""
    groups = theirs.state_dict()["param_groups"]
    return [{name: value for name, value in group.items() if name != "clip"} for group in groups]
