"""GradScaler's fast path: gradients stay scaled, the pass of the step unscales them, an overflow leaves all alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

import zerograd as optim
from engine.common import OWN, SHARED, noise, ours, torchs
from zerograd.lifecycle.light import Light


def run(make: Any, name: str, losses: list[float], *, unscale: bool) -> tuple[torch.Tensor, Any, float]:
    p = noise(0, 3).requires_grad_()
    optimizer = make(name, [p])
    scaler = torch.amp.GradScaler("cpu", init_scale=512.0, growth_interval=100)
    for factor in losses:
        optimizer.zero_grad()
        scaler.scale((p * noise(1, 3)).sum() * factor).backward()
        if unscale:
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_([p], 0.5)
        scaler.step(optimizer)
        scaler.update()
    return p.detach(), optimizer, scaler.get_scale()


@pytest.mark.parametrize("unscale", [False, True], ids=["alone", "with clipping"])
@pytest.mark.parametrize("name", SHARED)
def test_a_scaled_run_is_torchs(name: str, unscale: bool) -> None:
    theirs, mine = (run(make, name, [1.0, 2.0, 3.0], unscale=unscale) for make in (torchs, ours))
    torch.testing.assert_close(theirs[0], mine[0], rtol=1e-5, atol=1e-7)
    assert theirs[2] == mine[2] == 512.0


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_an_overflow_leaves_the_step_out_and_counts_nothing(name: str) -> None:
    with_overflow = run(ours, name, [1.0, float("inf"), 2.0], unscale=False)
    without = run(ours, name, [1.0, 2.0], unscale=False)
    # The second loss is scaled by 256 instead of 512, powers of two: not even rounding differs.
    assert torch.equal(with_overflow[0], without[0])
    assert with_overflow[2] == 256.0
    held = [next(iter(optimizer.state.values())) for optimizer in (with_overflow[1], without[1]) if optimizer.state]
    if held:
        assert held[0].keys() == held[1].keys()
        assert all(torch.equal(held[0][key], held[1][key]) for key in held[0])


def scaled_step(optimizer: Any, params: list[torch.Tensor], scale: float = 512.0) -> torch.amp.GradScaler:
    """One step of a quadratic through a scaler."""
    scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    loss = sum(((p - 1) ** 2).sum() for p in params)
    optimizer.zero_grad()
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    return scaler


def plain_step(optimizer: Any, params: list[torch.Tensor]) -> None:
    optimizer.zero_grad()
    sum(((p - 1) ** 2).sum() for p in params).backward()  # type: ignore[union-attr]
    optimizer.step()


SIZES = {"one native call": [(3,), (2, 2)], "several threads": [(300, 200), (7,)]}
EXTRAS: dict[str, dict[str, Any]] = {
    "plain": {},
    "clipped": {"clip": 0.25},
    "clipped by group": {"clip": None, "groups": 0.25},
    "skipping": {"nonfinite": "skip"},
    "climbing": {"maximize": True},
}


def twins(shapes: list[tuple[int, ...]], extras: dict[str, Any]) -> Any:
    """Two optimizers that are the same."""
    for _ in range(2):
        params = [noise(i, *shape).requires_grad_() for i, shape in enumerate(shapes)]
        own = {"clip": extras["groups"]} if "groups" in extras else {}
        groups = [{"params": params[:1], **own}, {"params": params[1:]}]
        yield optim.AdamW(groups, **{k: v for k, v in extras.items() if k != "groups"}), params


@pytest.mark.parametrize("extras", EXTRAS)
@pytest.mark.parametrize("size", SIZES)
def test_scaled_and_plain_steps_may_alternate(size: str, extras: str) -> None:
    """The scale is a power of two: not even rounding differs from a run without it."""
    (with_scaler, params), (without, others) = twins(SIZES[size], EXTRAS[extras])
    for step in range(6):
        if step in (0, 2, 3):
            scaled_step(with_scaler, params, scale=2.0 ** (5 + step))
        else:
            plain_step(with_scaler, params)
        plain_step(without, others)
        assert with_scaler.grad_norm == without.grad_norm
        for p, other in zip(params, others, strict=True):
            assert torch.equal(p, other)
    assert (with_scaler._plan.whole is not None) == (
        size == "one native call" and extras in ("plain", "clipped", "climbing")
    )


def test_the_step_is_called_with_scaled_gradients_and_leaves_them_so() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer, seen = optim.AdamW([p], clip=1.0), []

    def look(*_: Any) -> None:
        assert p.grad is not None
        seen.append((p.grad.clone(), float(optimizer.grad_scale), float(optimizer.found_inf)))

    optimizer.register_step_pre_hook(Light(look))
    wanted = 2 * (p.detach() - 1)
    scaled_step(optimizer, [p])
    ((gradient, scale, found),) = seen
    assert (scale, found) == (512.0, 0.0)
    assert torch.equal(gradient, wanted * 512)
    assert p.grad is not None
    assert torch.equal(p.grad, gradient)
    assert optimizer.grad_norm == pytest.approx(wanted.norm().item(), rel=1e-6)  # the norm in float32 has 7 digits
    assert not hasattr(optimizer, "grad_scale")
    assert not hasattr(optimizer, "found_inf")


def test_an_overflow_in_one_optimizer_is_none_in_another() -> None:
    p, q = noise(0, 3).requires_grad_(), noise(1, 3).requires_grad_()
    first, second = optim.AdamW([p]), optim.SGD([q], momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
    before = p.detach().clone(), q.detach().clone()
    scaler.scale((p * float("inf")).sum() + (q**2).sum()).backward()
    for optimizer in (first, second):
        scaler.step(optimizer)
    scaler.update()
    assert torch.equal(p, before[0])
    assert not first.state
    assert not torch.equal(q, before[1])
    assert scaler.get_scale() == 32.0


def test_a_second_step_before_update_is_refused_as_with_torch() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.AdamW([p])
    scaler = scaled_step(optimizer, [p])
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(optimizer)


def test_only_the_scaler_is_told_that_steps_unscale() -> None:
    """Lightning refuses to clip if it is told so; it asks as everybody else does."""
    for name in [*SHARED, *OWN]:
        assert not getattr(getattr(optim, name)([noise(0, 2).requires_grad_()]), "_step_supports_amp_scaling", False)


def takes_the_fast_path(optimizer: Any, p: torch.Tensor) -> bool:
    """Whether the scaler left the unscaling to the step: the gradient is scaled afterwards."""
    before = p.detach().clone()
    scaled_step(optimizer, [p])
    assert p.grad is not None
    return torch.equal(p.grad, 512 * 2 * (before - 1))


class AskingOthers(torch.amp.GradScaler):
    """As torch.distributed.fsdp.sharded_grad_scaler.ShardedGradScaler: other processes may have found something."""

    def unscale_(self, optimizer: Any) -> None:
        super().unscale_(optimizer)
        for found in self._per_optimizer_states[id(optimizer)]["found_inf_per_device"].values():
            found.fill_(1.0)


def test_a_scaler_with_an_unscaling_of_its_own_is_asked() -> None:
    p = noise(0, 3).requires_grad_()
    before = p.detach().clone()
    optimizer, scaler = optim.SGD([p], lr=0.1), AskingOthers("cpu", init_scale=512.0)
    scaler.scale(p.square().sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert torch.equal(p, before)
    assert scaler.get_scale() == 256.0


def test_a_scheduler_leaves_the_fast_path_open() -> None:
    p = noise(0, 3).requires_grad_()
    optimizer = optim.SGD([p], lr=0.1)
    torch.optim.lr_scheduler.StepLR(optimizer, 1)
    assert takes_the_fast_path(optimizer, p)


@pytest.mark.parametrize("way", ["hook before", "hook after", "global hook", "subclass"])
def test_code_round_a_step_sees_unscaled_gradients_and_no_step_that_is_left_out(way: str) -> None:
    """As with torch's classes: somebody's own clipping in there must not clip scaled gradients."""
    seen: list[torch.Tensor] = []

    def look(*_: Any) -> None:
        assert p.grad is not None
        seen.append(p.grad.clone())

    class Child(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            look()
            return super().step(closure)

    p = noise(0, 3).requires_grad_()
    optimizer = (Child if way == "subclass" else optim.SGD)([p], lr=0.1)
    handles = {
        "hook before": optimizer.register_step_pre_hook,
        "hook after": optimizer.register_step_post_hook,
        "global hook": register_optimizer_step_pre_hook,
    }
    handle = handles[way](look) if way in handles else None
    try:
        before = p.detach().clone()
        scaler = scaled_step(optimizer, [p])
        scaler.update()
        p.grad = None
        scaler.scale((p * float("inf")).sum()).backward()
        scaler.step(optimizer)
    finally:
        if handle is not None:
            handle.remove()
    assert len(seen) == 1
    assert torch.equal(seen[0], 2 * (before - 1))


def test_a_step_without_gradients_is_refused_as_with_torch() -> None:
    p = noise(0, 3).requires_grad_()
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(torch.ones(1, requires_grad=True).sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer: the scaler found no"):
        scaler.step(optim.SGD([p]))


def test_who_counts_the_calls_of_step_sees_none_for_an_overflow() -> None:
    """Accelerate finds out so that a step was left out."""
    p = noise(0, 3).requires_grad_()
    optimizer, calls = optim.SGD([p], lr=0.1), []
    step = optimizer.step
    optimizer.step = lambda *given: (calls.append(1), step(*given))[1]  # type: ignore[method-assign]
    assert not takes_the_fast_path(optimizer, p)
    assert calls == [1]
    p.grad = None
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale((p * float("inf")).sum()).backward()
    scaler.step(optimizer)
    assert calls == [1]


def test_autocast_to_bfloat16_needs_no_scaler() -> None:
    """The same operations in the same order: the same run as with torch's, but for rounding in float32."""

    def losses(kind: Any) -> list[float]:
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
        x, y = torch.randn(32, 6), torch.randn(32, 1)
        optimizer, found = kind(net.parameters(), lr=0.01), []
        for _ in range(20):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = torch.nn.functional.mse_loss(net(x), y)
            loss.backward()
            optimizer.step()
            found.append(loss.item())
        return found

    # bfloat16 has 8 bits: a last-bit difference of a weight may round an activation the other way
    assert losses(optim.AdamW) == pytest.approx(losses(torch.optim.AdamW), rel=2**-7)
