"""The oracles against torch.optim, where an identity exists."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

import oracles
from oracles import Reference
from oracles.walking import give, same, scalar_run, tensors, twice, value, walk, wavy


def test_adam_is_torchs() -> None:
    hyper: dict[str, Any] = {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.2}
    same(lambda p: oracles.Adam(p, **hyper), lambda p: torch.optim.Adam(p, **hyper), wavy)
    same(lambda p: oracles.AdamW(p, **hyper), lambda p: torch.optim.AdamW(p, **hyper), wavy)


def test_lion_without_memory_is_the_sign_of_the_gradient() -> None:
    def unit(params: list[Tensor]) -> Any:
        optimizer = torch.optim.SGD(params, lr=0.03)

        def sign(*_: Any) -> None:
            for p in params:
                assert p.grad is not None
                p.grad.sign_()

        optimizer.register_step_pre_hook(sign)
        return optimizer

    same(lambda p: oracles.Lion(p, lr=0.03, betas=(0.0, 0.9)), unit, wavy)


def test_lamb_without_decay_is_adam() -> None:
    same(
        lambda p: oracles.LAMB(p, lr=0.03, weight_decay=0.0),
        lambda p: torch.optim.Adam(p, lr=0.03, eps=1e-6),
        wavy,
    )


def test_lamb_and_trust_ratio_step_by_the_norm_of_the_parameter() -> None:
    cases: list[tuple[type[Reference], dict[str, Any]]] = [
        (oracles.LAMB, {"weight_decay": 0.1}),
        (oracles.LAMB, {"weight_decay": 0.0, "always_adapt": True}),
        (oracles.TrustRatioAdam, {}),
    ]
    for cls, hyper in cases:
        params, before = twice()
        oracle = cls(params, lr=0.03, **hyper)
        give(params, tensors(5))
        oracle.step()
        for p, q in zip(params, before, strict=True):
            torch.testing.assert_close((p - q).norm(), 0.03 * q.norm(), rtol=1e-12, atol=0)


def test_trust_ratio_is_one_at_a_zero_parameter() -> None:
    for cls in (oracles.LAMB, oracles.TrustRatioAdam):
        assert value(scalar_run(cls, 0.0, [2.0], lr=0.5, eps=0.0, weight_decay=0.1)) == -0.5


def test_trust_ratio_and_lamb_agree_without_decay() -> None:
    same(
        lambda p: oracles.TrustRatioAdam(p, lr=0.03, eps=1e-6),
        lambda p: oracles.LAMB(p, lr=0.03, weight_decay=0.0, always_adapt=True),
        wavy,
    )


def test_stable_adamw_is_adamw_while_the_rms_is_small() -> None:
    hyper: dict[str, Any] = {"lr": 0.03, "betas": (0.9, 0.99), "eps": 1e-6, "weight_decay": 0.2}

    def shrinking(t: int) -> float:
        return 8.0**-t

    same(lambda p: oracles.StableAdamW(p, **hyper), lambda p: torch.optim.AdamW(p, **hyper), shrinking)


def test_stable_adamw_is_adamw_with_the_divided_lr() -> None:
    # 1, then 3: v = (0.99 * 0.01 * 1 + 0.01 * 9) / (1 - 0.9801) = 0.0999 / 0.0199, rms = 3 / sqrt(v) > 1.
    v = 0.0999 / 0.0199
    assert 3 / sqrt(v) > 1
    p = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    adamw = torch.optim.AdamW([p], lr=0.03, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.2)
    for g, lr in ((1.0, 0.03), (3.0, 0.03 * sqrt(v) / 3)):
        p.grad = torch.tensor(g, dtype=torch.float64)
        adamw.param_groups[0]["lr"] = lr
        adamw.step()
    oracle = scalar_run(oracles.StableAdamW, 2.0, [1.0, 3.0], lr=0.03, weight_decay=0.2)
    assert value(oracle) == pytest.approx(p.item(), rel=1e-13)
    assert value(oracle, "exp_avg_sq") == pytest.approx(v, rel=1e-13)


def test_ema_leaves_adamw_alone_and_averages_it() -> None:
    mine, theirs = twice()
    averages = tensors(0)
    oracle = oracles.EMAAdamW(mine, lr=0.03, ema_decay=0.75)
    for _ in walk(mine, theirs, oracle, torch.optim.AdamW(theirs, lr=0.03), wavy):
        averages = [0.75 * x + 0.25 * q.detach() for x, q in zip(averages, theirs, strict=True)]
        for p, x in zip(mine, averages, strict=True):
            torch.testing.assert_close(oracle.state[p]["average"], x, rtol=1e-13, atol=1e-13)


def test_lookahead_with_alpha_one_is_adam() -> None:
    same(
        lambda p: oracles.LookaheadAdam(p, lr=0.03, alpha=1.0, every=3),
        lambda p: torch.optim.Adam(p, lr=0.03),
        wavy,
    )


def test_lookahead_with_alpha_zero_returns_to_the_start() -> None:
    params, start = twice()
    oracle = oracles.LookaheadAdam(params, lr=0.03, alpha=0.0, every=3)
    for t in range(1, 10):
        give(params, tensors(t))
        oracle.step()
        assert all(torch.equal(p, q) for p, q in zip(params, start, strict=True)) == (t % 3 == 0)


def test_mars_without_correction_is_adamw_on_the_clipped_gradient() -> None:
    class Clipped(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            for p in self.param_groups[0]["params"]:
                p.grad /= max(1.0, float(p.grad.norm()))
            return super().step(closure)

    hyper: dict[str, Any] = {"lr": 0.03, "betas": (0.95, 0.99), "weight_decay": 0.2}
    same(lambda p: oracles.MARSAdamW(p, gamma=0.0, **hyper), lambda p: Clipped(p, **hyper), wavy)


def test_cautious_adamw_with_constant_gradients_is_adamw() -> None:
    mine, theirs = twice()
    one = oracles.CautiousAdamW(mine, lr=0.03, weight_decay=0.2)
    other = torch.optim.AdamW(theirs, lr=0.03, weight_decay=0.2)
    for _ in range(5):
        give(mine, tensors(7))
        give(theirs, tensors(7))
        one.step()
        other.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_cautious_decay_is_adamw_or_adam_where_the_signs_are_uniform(sign: float) -> None:
    mine, theirs = twice()
    one = oracles.CautiousDecayAdam(mine, lr=0.01, weight_decay=0.2)
    other = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.2 if sign > 0 else 0.0)
    for _ in range(3):
        grads = [sign * p.detach().sign() for p in mine]
        give(mine, grads)
        give(theirs, grads)
        one.step()
        other.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-13, atol=1e-13)
