"""The oracles against torch.optim where an identity exists, and against arithmetic done by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import sqrt
from typing import Any

import pytest
import torch
from torch import Tensor

import oracles
from oracles import Reference

CLASSES: list[type[Reference]] = [
    getattr(oracles, name) for name in oracles.__all__ if name not in ("Reference", "evaluation_point")
]
SHAPES = [(3, 4), (5,), ()]


def tensors(seed: int, scale: float = 1.0) -> list[Tensor]:
    """A matrix, a vector and a scalar of normal numbers."""
    rng = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=rng, dtype=torch.float64) for shape in SHAPES]


def twice(seed: int = 0) -> tuple[list[Tensor], list[Tensor]]:
    """The same parameters twice."""
    return [p.requires_grad_() for p in tensors(seed)], [p.requires_grad_() for p in tensors(seed)]


def give(params: list[Tensor], grads: list[Tensor]) -> None:
    """Hand each parameter its own copy of a gradient."""
    for p, g in zip(params, grads, strict=True):
        p.grad = g.clone()


def walk(
    mine: list[Tensor], theirs: list[Tensor], one: Any, other: Any, scale: Callable[[int], float]
) -> Iterator[int]:
    """Step both optimizers with the same gradients, comparing the parameters after each step."""
    for t in range(1, 13):
        grads = tensors(100 + t, scale(t))
        give(mine, grads)
        give(theirs, grads)
        one.step()
        other.step()
        for p, q in zip(mine, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)
        yield t


def same(one: Callable[[Any], Any], other: Callable[[Any], Any], scale: Callable[[int], float]) -> None:
    """The two optimizers move equal parameters equally."""
    mine, theirs = twice()
    assert list(walk(mine, theirs, one(mine), other(theirs), scale))[-1] == 12
    assert not torch.equal(mine[0], tensors(0)[0])


def wavy(t: int) -> float:
    return 1.9 if t % 2 == 0 else 0.1


def scalar_run(cls: type[Reference], start: float, gradients: list[float], **hyper: Any) -> Reference:
    """An oracle of one scalar parameter after the given gradients."""
    p = torch.tensor(start, dtype=torch.float64)
    oracle = cls([p], **hyper)
    for g in gradients:
        p.grad = torch.tensor(g, dtype=torch.float64)
        oracle.step()
    return oracle


def value(oracle: Reference, name: str | None = None) -> float:
    """The single parameter of an oracle, or one of its states."""
    p: Tensor = oracle.param_groups[0]["params"][0]
    x: Tensor = p if name is None else oracle.state[p][name]
    return float(x.item())


# ---------------------------------------------------------------------------------------------- every oracle


@pytest.mark.parametrize("cls", CLASSES)
def test_groups_steps_and_absent_gradients(cls: type[Reference]) -> None:
    a, b, c = (p.requires_grad_() for p in tensors(1))
    groups: list[dict[str, Any]] = [{"params": [a]}, {"params": [b, c], "lr": 0.0}]
    oracle = cls(groups, lr=0.5)
    assert [g["lr"] for g in oracle.param_groups] == [0.5, 0.0]
    a.grad, b.grad = tensors(2)[:2]
    oracle.step()
    a.grad = None
    oracle.step()
    oracle.step()
    assert oracle.state[a]["step"] == 1
    assert oracle.state[b]["step"] == 3
    assert c not in oracle.state
    assert torch.equal(c, tensors(1)[2])


@pytest.mark.parametrize("cls", CLASSES)
def test_lr_zero_leaves_the_parameter(cls: type[Reference]) -> None:
    mine, theirs = twice()
    oracle = cls(mine, lr=0.0)
    for t in range(3):
        give(mine, tensors(t))
        oracle.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("cls", CLASSES)
def test_maximize_is_the_negated_gradient(cls: type[Reference]) -> None:
    mine, theirs = twice()
    up, down = cls(mine, maximize=True), cls(theirs)
    for t in range(4):
        give(mine, tensors(t))
        give(theirs, [-g for g in tensors(t)])
        up.step()
        down.step()
    for p, q in zip(mine, theirs, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("cls", CLASSES)
def test_the_gradient_is_not_touched(cls: type[Reference]) -> None:
    params, _ = twice()
    oracle = cls(params, weight_decay=0.1)
    for t in range(3):
        give(params, tensors(t))
        oracle.step()
        for p, g in zip(params, tensors(t), strict=True):
            assert p.grad is not None
            assert torch.equal(p.grad, g)


def test_unknown_hyper_parameters_and_low_precision_are_refused() -> None:
    with pytest.raises(TypeError, match="momentum"):
        oracles.Lion([], momentum=0.9)
    with pytest.raises(TypeError, match="float64"):
        oracles.Lion([torch.zeros(2, dtype=torch.float32)])


# ---------------------------------------------------------------------------------------- against torch.optim


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


# ---------------------------------------------------------------------------------------------------- by hand


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
