"""The oracles against arithmetic done by hand."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch

import oracles
from oracles.walking import give, scalar_run, tensors, twice, value


def test_lion_by_hand() -> None:
    # betas (1/2, 3/4), lr 1/4, decay 1/2: the parameter shrinks by 7/8.
    # t=1: 4 * 7/8 = 3.5, sign(0/2 + 2/2) = +1 -> 3.25; m = 2/4 = 0.5.
    # t=2: 3.25 * 7/8 = 2.84375, sign(0.25 - 0.25) = 0 -> 2.84375; m = 0.375 - 0.125 = 0.25.
    # t=3: 2.84375 * 7/8 = 2.48828125, sign(0.125 - 1) = -1 -> 2.73828125; m = 0.1875 - 0.5 = -0.3125.
    oracle = scalar_run(oracles.Lion, 4.0, [2.0, -0.5, -2.0], lr=0.25, betas=(0.5, 0.75), weight_decay=0.5)
    assert value(oracle) == 2.73828125
    assert value(oracle, "exp_avg") == -0.3125


@pytest.mark.parametrize("hyper", [{}, {"weight_decay": 0.3}])
def test_adopt_does_not_move_at_its_first_step(hyper: dict[str, float]) -> None:
    params, start = twice()
    oracle = oracles.ADOPT(params, lr=0.5, **hyper)
    give(params, tensors(3))
    oracle.step()
    for p, q, g in zip(params, start, tensors(3), strict=True):
        assert torch.equal(p, q)
        seen = g + hyper.get("weight_decay", 0.0) * q
        torch.testing.assert_close(oracle.state[p]["exp_avg_sq"], seen.detach() ** 2)
        assert not oracle.state[p]["exp_avg"].any()


def test_adopt_decoupled_decay_acts_at_the_first_step() -> None:
    oracle = scalar_run(oracles.ADOPT, 4.0, [3.0], lr=0.5, weight_decay=0.25, decoupled=True)
    assert value(oracle) == 3.5
    assert value(oracle, "exp_avg_sq") == 9.0


def test_adopt_by_hand() -> None:
    # betas (1/2, 3/4), lr 1.
    # t=1: v = 4.
    # t=2: n = 6/2 = 3, clipped to 1^(1/4) = 1; m = 1/2; p = 10 - 0.5 = 9.5; v = 3 + 36/4 = 12.
    # t=3: n = -1/sqrt(12), below 2^(1/4); m = 1/4 - 1/(2 sqrt(12)); v = 9 + 1/4 = 9.25.
    # t=4: n = -30/sqrt(9.25) = -9.86, clipped to -3^(1/4); m = m/2 - 3^(1/4)/2.
    oracle = scalar_run(oracles.ADOPT, 10.0, [2.0, 6.0], lr=1.0, betas=(0.5, 0.75))
    assert (value(oracle), value(oracle, "exp_avg"), value(oracle, "exp_avg_sq")) == (9.5, 0.5, 12.0)
    oracle = scalar_run(oracles.ADOPT, 10.0, [2.0, 6.0, -1.0, -30.0], lr=1.0, betas=(0.5, 0.75))
    m3 = 0.25 - 0.5 / sqrt(12)
    m4 = 0.5 * m3 - 0.5 * 3**0.25
    assert value(oracle, "exp_avg") == pytest.approx(m4, rel=1e-14)
    assert value(oracle) == pytest.approx(9.5 - m3 - m4, rel=1e-14)


def test_lamb_by_hand() -> None:
    # p = (3, 4), norm 5. First step, g = (1, -1), eps 0: u = (1, -1) + 0.5 p = (2.5, 1), |u| = sqrt(7.25).
    p = torch.tensor([3.0, 4.0], dtype=torch.float64)
    p.grad = torch.tensor([1.0, -1.0], dtype=torch.float64)
    oracles.LAMB([p], lr=0.1, eps=0.0, weight_decay=0.5).step()
    ratio = 5 / sqrt(7.25)
    expected = torch.tensor([3 - 0.25 * ratio, 4 - 0.1 * ratio], dtype=torch.float64)
    torch.testing.assert_close(p, expected, rtol=1e-14, atol=0)


def test_schedule_free_by_hand() -> None:
    # beta1 1/2, lr 1, gradients 2, -2, 2: v / bc2 is 4 at each step, the normalised gradients are 1, -1, 1.
    # t=1: z = 4 - 1 = 3, c = 1,   x = 3,                     y = 3.
    # t=2: z = 3 + 1 = 4, c = 1/2, x = 3/2 + 4/2 = 7/2,       y = 7/4 + 2 = 15/4.
    # t=3: z = 4 - 1 = 3, c = 1/3, x = 2/3 * 7/2 + 1 = 10/3,  y = 5/3 + 3/2 = 19/6.
    expected = [(3.0, 3.0, 3.0), (4.0, 7 / 2, 15 / 4), (3.0, 10 / 3, 19 / 6)]
    for t, (z, x, y) in enumerate(expected, start=1):
        oracle = scalar_run(oracles.ScheduleFreeAdamW, 4.0, [2.0, -2.0, 2.0][:t], lr=1.0, betas=(0.5, 0.75), eps=0.0)
        p = oracle.param_groups[0]["params"][0]
        assert value(oracle, "z") == pytest.approx(z, rel=1e-14)
        assert value(oracle) == pytest.approx(y, rel=1e-14)
        average = oracles.evaluation_point(p, oracle.state[p]["z"], 0.5)
        assert float(average) == pytest.approx(x, rel=1e-14)
        group = oracle.param_groups[0]
        assert (group["k"], group["lr_max"], group["weight_sum"]) == (t, 1.0, float(t))


def test_schedule_free_by_hand_with_warm_up_and_decay() -> None:
    # As above with decay 1/2 at y, warm-up over two steps (lr 1/2, 1, 1) and weights k * lr_max^2:
    # the weights are 1/4, 2, 3, so c = 1, 8/9, 4/7.
    # t=1: n = 1 + 4/2 = 3;          z = 4 - 3/2 = 5/2;                x = 5/2;                  y = 5/2.
    # t=2: n = -1 + 5/4 = 1/4;       z = 9/4;                          x = 5/18 + 2 = 41/18;     y = 163/72.
    # t=3: n = 1 + 163/144;          z = 9/4 - 307/144 = 17/144;       x = 3/7 * 41/18 + 4/7 * 17/144.
    x = 3 / 7 * 41 / 18 + 4 / 7 * 17 / 144
    oracle = scalar_run(
        oracles.ScheduleFreeAdamW,
        4.0,
        [2.0, -2.0, 2.0],
        lr=1.0,
        betas=(0.5, 0.75),
        eps=0.0,
        weight_decay=0.5,
        warmup_steps=2,
        r=1.0,
    )
    assert value(oracle, "z") == pytest.approx(17 / 144, rel=1e-13)
    assert value(oracle) == pytest.approx(x / 2 + 17 / 288, rel=1e-14)


def test_schedule_free_corrects_the_bias_with_the_group_count() -> None:
    # beta2 3/4. b is silent at the first step and joins at k = 2: v = 16/4 = 4, bc2 = 1 - 9/16 = 7/16.
    a, b = (torch.tensor(x, dtype=torch.float64) for x in (4.0, 1.0))
    oracle = oracles.ScheduleFreeAdamW([a, b], lr=1.0, betas=(0.5, 0.75), eps=0.0)
    oracle.step()
    assert oracle.param_groups[0]["k"] == 0
    a.grad = torch.tensor(2.0, dtype=torch.float64)
    oracle.step()
    b.grad = torch.tensor(4.0, dtype=torch.float64)
    oracle.step()
    assert oracle.param_groups[0]["k"] == 2
    assert oracle.state[b]["step"] == 1
    assert float(oracle.state[b]["z"]) == pytest.approx(1 - 4 / sqrt(4 * 16 / 7), rel=1e-14)


def test_prodigy_by_hand() -> None:
    # d0 1/2, betas (1/2, 3/4), beta3 1/2, eps 1/8, d_coef 4, p0 = 2, gradients 4, then 8.
    # t=1: dlr = 1/2; the numerator is 0; m = 1/2 * 1/2 * 4 = 1; v = 1/4 * 1/4 * 16 = 1; s = 1/2 * 4 = 2;
    #      d_hat = 0, d stays 1/2; p = 2 - 1/2 * 1 / (1 + 1/16) = 2 - 8/17 = 26/17.
    # t=2: dlr = 1/2; numerator = 1/2 * 8 * 8/17 = 32/17; m = 1/2 + 1/2 * 1/2 * 8 = 5/2;
    #      v = 3/4 + 1/4 * 1/4 * 64 = 19/4; s = 1 + 4 = 5; d_hat = 4 * 32/17 / 5 = 128/85 = d;
    #      p = 26/17 - 1/2 * 5/2 / (sqrt(19/4) + 128/85 * 1/8).
    hyper: dict[str, Any] = {"betas": (0.5, 0.75), "beta3": 0.5, "eps": 0.125, "d0": 0.5, "d_coef": 4.0}
    oracle = scalar_run(oracles.Prodigy, 2.0, [4.0], **hyper)
    assert value(oracle) == pytest.approx(26 / 17, rel=1e-14)
    assert oracle.param_groups[0]["d"] == 0.5
    oracle = scalar_run(oracles.Prodigy, 2.0, [4.0, 8.0], **hyper)
    group = oracle.param_groups[0]
    assert group["d_numerator"] == pytest.approx(32 / 17, rel=1e-14)
    assert value(oracle, "exp_avg") == 2.5
    assert value(oracle, "exp_avg_sq") == 4.75
    assert value(oracle, "s") == 5.0
    assert value(oracle, "p0") == 2.0
    assert (group["d"], group["d_max"], group["k"]) == (
        pytest.approx(128 / 85, rel=1e-14),
        pytest.approx(128 / 85, rel=1e-14),
        2,
    )
    assert value(oracle) == pytest.approx(26 / 17 - 1.25 / (sqrt(4.75) + 16 / 85), rel=1e-14)
    # t=3, gradient 0: dlr = 128/85; numerator 16/17; s = 5/2; d_hat = 4 * 16/17 * 2/5 = 128/85 stays.
    # p -= dlr * 5/4 / (sqrt(3/4 * 19/4) + 16/85).
    third = scalar_run(oracles.Prodigy, 2.0, [4.0, 8.0, 0.0], **hyper)
    assert third.param_groups[0]["d"] == pytest.approx(128 / 85, rel=1e-14)
    step = 128 / 85 * 1.25 / (sqrt(57 / 16) + 16 / 85)
    assert value(third) == pytest.approx(value(oracle) - step, rel=1e-13)


def test_prodigy_options_by_hand() -> None:
    # As above. The growth rate does not bound the first departure from d0, but it bounds what follows.
    hyper: dict[str, Any] = {"betas": (0.5, 0.75), "beta3": 0.5, "eps": 0.125, "d0": 0.5, "d_coef": 4.0}
    group = scalar_run(oracles.Prodigy, 2.0, [4.0, 8.0, 8.0], growth_rate=1.0, **hyper).param_groups[0]
    assert group["d"] == pytest.approx(128 / 85, rel=1e-14)
    assert group["d_max"] > 2.0
    # The bias correction is sqrt(1/4) / (1/2) = 1 at t=1 and sqrt(7/16) / (3/4) at t=2: dlr = sqrt(7) / 6.
    corrected = scalar_run(oracles.Prodigy, 2.0, [4.0, 8.0], use_bias_correction=True, **hyper)
    assert corrected.param_groups[0]["d_numerator"] == pytest.approx(sqrt(7) / 6 * 8 * 8 / 17, rel=1e-14)
    # Decay 1/2. t=1: p = 2 * 3/4 - 8/17 = 35/34. t=2: numerator = 1/2 * 8 * 33/34 = 66/17; d = 264/85;
    # the decay still goes with dlr = 1/2: p = 3/4 * 35/34 - 1/2 * 5/2 / (sqrt(19/4) + 33/85).
    decayed = scalar_run(oracles.Prodigy, 2.0, [4.0, 8.0], weight_decay=0.5, **hyper)
    assert value(decayed) == pytest.approx(105 / 136 - 1.25 / (sqrt(4.75) + 33 / 85), rel=1e-13)
    # lr 1/2 halves dlr, but with the safeguard not the growth of s: s = d/d0 * d * g = 2 instead of 1.
    assert value(scalar_run(oracles.Prodigy, 2.0, [4.0], lr=0.5, **hyper), "s") == 1.0
    guarded = scalar_run(oracles.Prodigy, 2.0, [4.0], lr=0.5, safeguard_warmup=True, **hyper)
    assert value(guarded, "s") == 2.0


def test_prodigy_shares_one_distance_between_groups() -> None:
    a, b = (torch.tensor(x, dtype=torch.float64) for x in (2.0, 2.0))
    oracle = oracles.Prodigy([{"params": [a]}, {"params": [b]}], d0=0.5, d_coef=4.0, betas=(0.5, 0.75))
    for g in (4.0, 8.0):
        a.grad = b.grad = torch.tensor(g, dtype=torch.float64)
        oracle.step()
    shared = [{k: group[k] for k in ("d", "d_max", "d_numerator", "k")} for group in oracle.param_groups]
    assert shared[0] == shared[1]
    # Two equal parameters double numerator and denominator, so d is that of one of them.
    alone = scalar_run(oracles.Prodigy, 2.0, [4.0, 8.0], d0=0.5, d_coef=4.0, betas=(0.5, 0.75))
    assert shared[0]["d"] == pytest.approx(alone.param_groups[0]["d"], rel=1e-14)
    assert float(a) == float(b) == pytest.approx(value(alone), rel=1e-14)


def test_prodigy_with_zero_gradients_does_not_move() -> None:
    oracle = scalar_run(oracles.Prodigy, 2.0, [0.0, 0.0], weight_decay=0.5)
    assert value(oracle) == 2.0
    assert oracle.param_groups[0]["d"] == 1e-6


def test_cautious_adamw_by_hand() -> None:
    # betas (1/2, 0), eps 0: the first step goes by the sign. Second step, g = (1, -0.25, 0):
    # m = (0.75, 0.125, 0.25), / (3/4); v = g^2, so u = (1, 2/3, inf) - hence a third gradient of 1/2:
    # m = (3/4, 1/8, 1/2), u = (1, 2/3, 4/3), u * g > 0 for elements 0 and 2, mean 2/3, scale 3/2.
    p = torch.zeros(3, dtype=torch.float64)
    oracle = oracles.CautiousAdamW([p], lr=1.0, betas=(0.5, 0.0), eps=0.0, weight_decay=0.0)
    p.grad = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64)
    oracle.step()
    assert p.tolist() == [-1.0, -1.0, -1.0]
    p.grad = torch.tensor([1.0, -0.25, 0.5], dtype=torch.float64)
    oracle.step()
    expected = torch.tensor([-1 - 1.5, -1.0, -1 - 4 / 3 * 1.5], dtype=torch.float64)
    torch.testing.assert_close(p, expected, rtol=1e-14, atol=0)


def test_cautious_scale_is_at_most_a_thousand() -> None:
    p = torch.zeros(4000, dtype=torch.float64)
    oracle = oracles.CautiousAdamW([p], lr=1.0, betas=(0.5, 0.0), eps=1e-30, weight_decay=0.0)
    p.grad = torch.zeros(4000, dtype=torch.float64)
    p.grad[0] = 1.0
    oracle.step()
    assert float(p[0]) == pytest.approx(-1000.0, rel=1e-14)
    assert not p[1:].any()


def test_mars_by_hand() -> None:
    # gamma 1/2, beta1 1/2, so the correction is g + (g - g_prev) / 2; beta2 0, eps 0, lr 1, decay 1/4.
    # t=1: c = 1/2; m = 1/4; u = 1; p = 4 * 3/4 - 1 = 2.
    # t=2: g = -1/4: c = -1/4 - 3/8 = -5/8; m = 1/8 - 5/16 = -3/16, / (3/4) = -1/4; u = -1/4 / (5/8) = -2/5;
    #      p = 2 * 3/4 + 2/5 = 1.9.
    # t=3: g = 4: c = 4 + 17/8, clipped to 1; m = -3/32 + 1/2 = 13/32, / (7/8) = 13/28; p = 1.425 - 13/28.
    hyper: dict[str, Any] = {"lr": 1.0, "betas": (0.5, 0.0), "eps": 0.0, "weight_decay": 0.25, "gamma": 0.5}
    assert value(scalar_run(oracles.MARSAdamW, 4.0, [0.5], **hyper)) == 2.0
    assert value(scalar_run(oracles.MARSAdamW, 4.0, [0.5, -0.25], **hyper)) == pytest.approx(1.9, rel=1e-14)
    oracle = scalar_run(oracles.MARSAdamW, 4.0, [0.5, -0.25, 4.0], **hyper)
    assert value(oracle) == pytest.approx(1.425 - 13 / 28, rel=1e-14)
    assert value(oracle, "previous_grad") == 4.0


def test_lookahead_by_hand() -> None:
    # Adam with betas 0 and eps 0 steps by the sign: 3 -> 2 -> 1, slow = 3 + (1 - 3)/4 = 2.5; -> 1.5 -> 0.5,
    # slow = 2.5 + (0.5 - 2.5)/4 = 2.
    hyper: dict[str, Any] = {"lr": 1.0, "betas": (0.0, 0.0), "eps": 0.0, "every": 2, "alpha": 0.25}
    path = [value(scalar_run(oracles.LookaheadAdam, 3.0, [1.0] * t, **hyper)) for t in range(1, 5)]
    assert path == [2.0, 2.5, 1.5, 2.0]


def test_cautious_decay_by_hand() -> None:
    # Adam with betas 0 and eps 0: u = sign(g). Decay joins where u and p agree in sign, lr 1/2, decay 1/4.
    p = torch.tensor([4.0, 4.0, -4.0, 0.0], dtype=torch.float64)
    p.grad = torch.tensor([3.0, -3.0, -3.0, 3.0], dtype=torch.float64)
    oracles.CautiousDecayAdam([p], lr=0.5, betas=(0.0, 0.0), eps=0.0, weight_decay=0.25).step()
    assert p.tolist() == [4 - 0.5 * 2, 4 + 0.5, -4 + 0.5 * 2, -0.5]
