"""What a reviewer broke once: each of these programs went wrong, and must not again."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from engine.common import equal, give_gradients, noise, parameters, snapshot
from zerograd import rules
from zerograd.algebra import rule, total


@pytest.mark.parametrize("lr", [0.0, 1e-3, 1.0])
def test_a_direction_round_a_policy_goes_with_lr(lr: float) -> None:
    """trust_ratio forgets the length of what it wraps: it must be given u, not lr * u."""
    moved = []
    for nested in (rules.trust_ratio(rules.l2(rules.sgd)), rules.l2(rules.trust_ratio(rules.sgd))):
        p = torch.tensor([3.0, 4.0], requires_grad=True)
        p.grad = torch.tensor([0.1, 0.1])
        optim.from_rule(nested, lr=lr)([p], weight_decay=0.0).step()
        moved.append(p.detach())
    assert torch.allclose(*moved)
    assert torch.allclose((moved[0] - torch.tensor([3.0, 4.0])).norm(), torch.tensor(5.0 * lr), atol=1e-6)


def test_load_hooks_see_tensors() -> None:
    params = parameters()
    optimizer = optim.AdamW(params)
    give_gradients(params, 0)
    optimizer.step()
    seen: list[Any] = []
    optimizer.register_load_state_dict_pre_hook(lambda _, loaded: seen.append(loaded["state"][0]["exp_avg"].clone()))
    optimizer.load_state_dict(optimizer.state_dict())
    assert torch.equal(seen[0], optimizer.state[params[0]]["exp_avg"])


def test_a_state_dict_hook_may_return_something_else_and_sees_no_key_of_ours() -> None:
    optimizer = optim.AdamW([{"params": parameters(), "weight_decay": optim.l2(0.1)}])
    optimizer.register_state_dict_post_hook(lambda _, packed: {"inside": packed})
    (packed,) = optimizer.state_dict().values()
    assert "decay_policy" not in packed["param_groups"][0]


def test_the_default_device_is_not_asked() -> None:
    params = parameters()
    with torch.device("meta"):
        optimizer = optim.NAdam(params)
        for step in range(2):
            for i, p in enumerate(params):
                p.grad = noise_on_cpu(step + i, p)
            optimizer.step()
    assert {v.device.type for p in params for v in optimizer.state[p].values()} == {"cpu"}
    assert float(optimizer.state[params[0]]["step"]) == 2


def noise_on_cpu(seed: int, p: Tensor) -> Tensor:
    with torch.device("cpu"):
        return noise(seed, *p.shape)


def test_state_of_another_shape_is_refused_before_anything_changed() -> None:
    params = parameters()
    optimizer = optim.AdamW(params)
    give_gradients(params, 0)
    optimizer.step()
    optimizer.state[params[1]]["exp_avg"] = torch.zeros(9)
    before = snapshot(optimizer)
    with pytest.raises(RuntimeError, match=r"AdamW: state 'exp_avg' has shape \(9,\), its parameter \(4,\)"):
        optimizer.step()
    assert equal(before, snapshot(optimizer))


def test_a_number_beyond_float32_is_infinite_there() -> None:
    p = torch.tensor([1.0], requires_grad=True)
    p.grad = torch.tensor([1.0])
    optim.SGD([p], lr=1e39).step()
    assert p.item() == -float("inf")


def test_factors_on_both_sides_do_not_overflow_together() -> None:
    cls = optim.from_rule(lambda g, *, s=1e20: (g * s) * (g * s), lr=1.0)
    p = torch.tensor([0.0], requires_grad=True)
    p.grad = torch.tensor([1e-25])
    cls([p]).step()
    assert p.item() == pytest.approx(-1e-10)


def test_schedule_free_needs_a_first_beta_above_zero() -> None:
    with pytest.raises(ValueError, match="it must be above 0"):
        optim.ScheduleFreeAdamW(parameters(), betas=(0.0, 0.99))


def test_loading_in_evaluation_mode_is_refused() -> None:
    params = parameters()
    optimizer = optim.ScheduleFreeAdamW(params)
    give_gradients(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    training = [p.detach().clone() for p in params]
    optimizer.eval()
    with pytest.raises(RuntimeError, match=r"call optimizer.train\(\) first"):
        optimizer.load_state_dict(saved)
    optimizer.train()
    assert equal(training, [p.detach() for p in params])


@rule
def shrunk_by_decay(g: Any, p: Any, *, weight_decay: float = 0.0) -> Any:
    return g / (1 + total(weight_decay * p * p, per="all"))


def test_decay_in_one_group_only_keeps_the_reduction_in_all() -> None:
    params = [torch.tensor([1.0], requires_grad=True), torch.tensor([2.0], requires_grad=True)]
    cls = optim.from_rule(shrunk_by_decay, lr=1.0)
    optimizer = cls([{"params": params[:1], "weight_decay": 0.5}, {"params": params[1:]}])
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    assert [p.item() for p in params] == pytest.approx([1 - 1 / 1.5, 2 - 1 / 1.5])


def test_a_policy_put_into_a_group_later_says_where_it_belongs() -> None:
    params = parameters()
    optimizer = optim.AdamW(params)
    optimizer.param_groups[0]["weight_decay"] = optim.l2(0.1)
    give_gradients(params, 0)
    with pytest.raises(TypeError, match="give it to the constructor or to add_param_group"):
        optimizer.step()


def test_adamw_counts_as_adam_as_in_torch() -> None:
    assert issubclass(optim.AdamW, optim.Adam) == issubclass(torch.optim.AdamW, torch.optim.Adam)


def test_a_mean_over_a_group_counts_every_element_once() -> None:
    from zerograd.algebra import mean, norm

    cls = optim.from_rule(lambda g: g * 0 + mean(g, per="group") + 10 * norm(g, per="group"), lr=1.0)
    a = torch.zeros(2, requires_grad=True)
    b = torch.zeros(3, dtype=torch.float64, requires_grad=True)  # another dtype: a kernel of its own
    a.grad, b.grad = torch.tensor([3.0, 0.0]), torch.tensor([4.0, 0.0, 0.0], dtype=torch.float64)
    cls([a, b]).step()
    assert torch.allclose(a, torch.full((2,), -(7 / 5 + 50)))
    assert torch.allclose(b, torch.full((3,), -(7 / 5 + 50), dtype=torch.float64))
