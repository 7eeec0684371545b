"""``eval()`` puts in what the view reads, ``train()`` puts back the very bits, a checkpoint may be taken in between."""

# ruff: noqa: B008  # rules: the signature says how state starts

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import equal, give_gradients, noise, parameters
from zerograd import rules
from zerograd.algebra import lerp, rule, start, view, wrapper
from zerograd.rules import decoupled, ema, lookahead


@view
def halved(p):
    return p / 2


@rule
def moving(g, p, slow=start("p"), *, lr, rate=0.5):
    p = p - lr * g
    return p, lerp(slow, p, rate)


@view
def extrapolated(slow, p, *, lr, rate):
    return p + (p - slow) * rate + lr


Plain = optim.from_rule(rules.sgd, name="Plain", lr=0.1, view=halved)
Moving = optim.from_rule(moving, lr=0.1, view=extrapolated)
Ema = optim.from_rule(ema(decoupled(rules.adam)), name="Ema", lr=0.1, ema_decay=0.5)
Inner = optim.from_rule(lookahead(ema(rules.sgd)), name="Inner", lr=0.1, ema_decay=0.5)
CLASSES = [Plain, Moving, Ema, Inner, optim.ScheduleFreeAdamW]


def stepped(cls: Any, dtype: torch.dtype = torch.float32) -> tuple[Any, list[torch.Tensor]]:
    params = parameters(dtype)
    optimizer = cls(params)
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
    return optimizer, params


@pytest.mark.parametrize("name", [name for name in optim.optim.__all__ if name != "Optimizer"])
def test_a_loop_may_always_call_both(name: str) -> None:
    """Where there is one set of weights, nothing happens."""
    p = noise(1, 4, 4).requires_grad_()
    optimizer = getattr(optim, name)([p])
    before = p.detach().clone()
    optimizer.train()
    optimizer.eval()
    optimizer.train(False)
    optimizer.train()
    assert torch.equal(p, before)


def copies(params: list[torch.Tensor]) -> list[torch.Tensor]:
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64, torch.complex64], ids=str)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_training_weights_come_back_bit_for_bit(cls: Any, dtype: torch.dtype) -> None:
    """Computing them back from the average would round."""
    optimizer, params = stepped(cls, dtype)
    training, state = copies(params), copy.deepcopy(optimizer.state_dict())
    for _ in range(2):
        optimizer.eval()
        assert not equal(copies(params), training)
        optimizer.train()
        assert equal(copies(params), training)
    assert str(optimizer.state_dict()) == str(state)


def test_a_view_reads_parameters_states_and_hyper_parameters_of_the_group() -> None:
    p = torch.tensor([1.0]).requires_grad_()
    q = torch.tensor([1.0]).requires_grad_()
    optimizer = Moving([{"params": [p]}, {"params": [q], "lr": 0.2, "rate": 0.25}])
    p.grad, q.grad = torch.tensor([1.0]), torch.tensor([1.0])
    optimizer.step()  # p: 0.9, slow 0.95; q: 0.8, slow 0.95
    optimizer.eval()
    assert p.item() == pytest.approx(0.9 - 0.05 * 0.5 + 0.1)
    assert q.item() == pytest.approx(0.8 - 0.15 * 0.25 + 0.2)


def test_a_view_that_reads_no_state_shows_every_parameter_and_gives_it_back() -> None:
    p, never = noise(0, 3).requires_grad_(), noise(1, 3).requires_grad_()
    optimizer = Plain([p, never])
    optimizer.eval()
    assert torch.equal(p, noise(0, 3) / 2)
    assert torch.equal(never, noise(1, 3) / 2)
    optimizer.train()
    assert torch.equal(p, noise(0, 3))
    assert torch.equal(never, noise(1, 3))


@pytest.mark.parametrize("how", ["state_dict", "file", "pickle", "deepcopy"])
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_a_checkpoint_of_evaluation_mode_holds_both_weights(cls: Any, how: str) -> None:
    optimizer, params = stepped(cls)
    straight, straight_params = stepped(cls)
    optimizer.eval()
    if how in ("pickle", "deepcopy"):
        both = (optimizer, params)
        twin, twins = pickle.loads(pickle.dumps(both)) if how == "pickle" else copy.deepcopy(both)
    else:
        twins = [p.detach().clone().requires_grad_() for p in params]
        twin, saved = cls(twins), optimizer.state_dict()
        if how == "file":
            buffer = io.BytesIO()
            torch.save(saved, buffer)
            buffer.seek(0)
            saved = torch.load(buffer, weights_only=True)
        twin.load_state_dict(saved)
    assert equal(copies(twins), copies(params))
    twin.train()
    for step in range(3, 5):
        give_gradients(twins, step)
        give_gradients(straight_params, step)
        twin.step()
        straight.step()
    assert equal(copies(twins), copies(straight_params))


def test_train_takes_a_mode_as_a_module_does() -> None:
    optimizer, params = stepped(Ema)
    training = copies(params)
    optimizer.train(False)
    assert not equal(copies(params), training)
    optimizer.train(True)
    assert equal(copies(params), training)
    optimizer.train()
    assert equal(copies(params), training)


def test_a_parameter_that_is_changed_by_hand_in_evaluation_comes_back_as_it_trained() -> None:
    optimizer, params = stepped(Ema)
    training = copies(params)
    optimizer.eval()
    with torch.no_grad():
        params[0].zero_()
    optimizer.train()
    assert equal(copies(params), training)


def test_the_outermost_view_counts() -> None:
    @wrapper
    def around(move, g, p, other=start("p")):
        return move(g, p), other

    assert ema(rules.sgd).view is rules.ema_average
    assert around(ema(rules.sgd)).view is rules.ema_average
    assert ema(rules.schedule_free_adamw).view is rules.ema_average
    assert decoupled(rules.sgd).view is None


@pytest.mark.parametrize(
    ("nested", "shown", "missing"),
    [
        (rules.adam, rules.schedule_free_average, "z"),
        (rules.sgd, rules.ema_average, "average"),
        (rules.sgd, extrapolated, "slow, rate"),
    ],
    ids=["schedule-free of adam", "ema of sgd", "state and hyper-parameter"],
)
def test_a_view_of_what_the_rule_does_not_have_is_refused(nested: Any, shown: Any, missing: str) -> None:
    """Or else eval() would change nothing, and nobody would see it."""
    with pytest.raises(TypeError, match=rf"from_rule\(\): <view .*> reads {missing}, which .* does not have"):
        optim.from_rule(nested, lr=0.1, view=shown)
