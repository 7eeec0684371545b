"""Law: clipping, gradients that are not finite, loss scaling, rounding and hooks are for these optimizers too."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.fsdp import fully_shard

from engine.common import equal, snapshot
from matrix.worlds import SHAPES, give, ours, parameters, run

NAMES = [*SHAPES]
MATRIX = ["Muon", "Adafactor"]


def twins(name: str, dtype: torch.dtype = torch.float32, **hypers: Any) -> tuple[list[Tensor], Any]:
    params = parameters(name, dtype)
    return params, ours(name)(params, lr=0.05, **hypers)


def values(p: Tensor) -> Tensor:
    """Of a gradient, sparse or not, in memory that may be written."""
    assert p.grad is not None
    if p.grad.is_sparse:
        p.grad = p.grad.coalesce()
        return p.grad.values()
    return p.grad


def scale_by_hand(params: list[Tensor], factor: float) -> None:
    for p in params:
        if p.grad is not None:
            p.grad = p.grad * factor


def norm_of(params: list[Tensor]) -> float:
    return math.sqrt(sum(values(p).double().square().sum().item() for p in params if p.grad is not None))


@pytest.mark.parametrize("per_group", [False, True], ids=["for all", "of a group"])
@pytest.mark.parametrize("name", NAMES)
def test_a_clipped_step_is_one_of_gradients_clipped_before(name: str, per_group: bool) -> None:
    finals = []
    for by_hand in (False, True):
        params = parameters(name)
        own: dict[str, Any] = {"clip": 0.5} if per_group and not by_hand else {}
        shared = {} if per_group or by_hand else {"clip": 0.5}
        optimizer = ours(name)([{"params": params[:2], **own}, {"params": params[2:]}], lr=0.05, **shared)
        for step in range(4):
            give(params, step, name)
            clipped = params[:2] if per_group else params
            if by_hand:
                scale_by_hand(clipped, min(1.0, 0.5 / (norm_of(clipped) + 1e-6)))
            optimizer.step()
        finals.append([p.detach() for p in params])
    # The factor is a number in float64 or float32: a rounding of the gradients, which Muon rounds to bfloat16.
    torch.testing.assert_close(*finals, rtol=1e-5, atol=0.05 * 4 * 2**-6 if name == "Muon" else 1e-5)


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("way", ["skip", "raise", "scaler"])
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_gradient_changes_nothing(name: str, way: str, value: float, steps: int) -> None:
    params, optimizer = twins(name, nonfinite="propagate" if way == "scaler" else way)
    run(optimizer, params, name, range(steps))
    give(params, 9, name)
    values(params[-1]).view(-1)[0] = value
    before = snapshot(optimizer)
    if way == "raise":
        with pytest.raises(RuntimeError, match=rf"{name}: nan or infinite .* parameter {len(params) - 1} of group 0"):
            optimizer.step()
    elif way == "skip":
        optimizer.step()
    else:
        scaler = torch.amp.GradScaler("cpu", init_scale=64.0)
        scaler.scale(torch.zeros(()))
        scaler.step(optimizer)
        scaler.update()
        assert scaler.get_scale() == 32.0
    assert equal(snapshot(optimizer), before)
    assert bool(optimizer.state) == (steps > 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_scaled_step_is_a_plain_one(name: str) -> None:
    """The scale is a power of two: not even rounding differs."""
    (params, scaled), (others, plain) = twins(name), twins(name)
    scaler = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=100)
    scaler.scale(torch.zeros(()))
    for step in range(5):
        give(others, step, name)
        plain.step()
        give(params, step, name)
        scale_by_hand(params, 64.0)
        held = [p.grad for p in params]
        scaler.step(scaled)
        scaler.update()
        assert all(p.grad is g for p, g in zip(params, held, strict=True))
    assert equal(snapshot(scaled), snapshot(plain))


@pytest.mark.parametrize("name", NAMES)
def test_stochastic_rounding_is_used_and_repeats_itself(name: str) -> None:
    """With steps of about a tenth of a unit of the last place, of which nearly all are lost otherwise."""
    finals = []
    for weight_format in ("stochastic", "stochastic", None):
        torch.manual_seed(5)  # the noise's seed
        params = [torch.ones(40, 40, dtype=torch.bfloat16).requires_grad_()]
        decay = {"weight_decay": 0.0} if name == "Muon" else {}
        tiny = {"Muon": 2**-8 / 10 * 40, "Adafactor": 2**-8 / 10, "SparseAdam": 2**-8 / 10}[name]
        optimizer = ours(name)(params, lr=tiny, weight_format=weight_format, **decay)
        for step in range(10):
            g = torch.randn(40, 40, generator=torch.Generator().manual_seed(step)).abs().to(torch.bfloat16)
            params[0].grad = g.to_sparse(1) if name == "SparseAdam" else g
            optimizer.step()
        finals.append(params[0].detach().double())
    assert torch.equal(finals[0], finals[1])
    assert not torch.equal(finals[0], finals[2])
    assert (finals[0] != 1).any()


@pytest.mark.parametrize("name", NAMES)
def test_hooks_fire_once_a_step_and_see_whole_gradients(name: str) -> None:
    params, optimizer = twins(name)
    seen: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))
    run(optimizer, params, name, range(3))
    assert seen == ["before", "after"] * 3


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:torch")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", MATRIX)
def test_a_compiled_training_step_is_the_eager_one(name: str) -> None:
    finals = []
    for compiled in (False, True):
        torch._dynamo.reset()
        torch.manual_seed(0)
        model = torch.nn.Linear(6, 4, bias=False)
        optimizer = ours(name)(model.parameters(), lr=0.05)

        def training_step(x: Tensor, model: Any = model, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss: Tensor = model(x).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        step = torch.compile(training_step, backend="eager") if compiled else training_step
        for seed in range(3):
            step(torch.randn(5, 6, generator=torch.Generator().manual_seed(seed)))
        finals.append(model.weight.detach())
    torch._dynamo.reset()
    assert torch.equal(*finals)


@pytest.mark.parametrize("name", MATRIX)
def test_a_model_sharded_over_one_process_ends_where_a_plain_one_does(name: str) -> None:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        finals = []
        for sharded in (False, True):
            torch.manual_seed(0)
            model = torch.nn.Sequential(torch.nn.Linear(6, 4, bias=False), torch.nn.Linear(4, 6, bias=False))
            if sharded:
                fully_shard(model, mesh=dist.device_mesh.init_device_mesh("cpu", (1,)))
            optimizer = ours(name)(model.parameters(), lr=0.05)
            for seed in range(4):
                optimizer.zero_grad()
                x = torch.randn(5, 6, generator=torch.Generator().manual_seed(seed))
                model(x).square().mean().backward()
                optimizer.step()
            finals.append([p.full_tensor() if sharded else p.detach() for p in model.parameters()])  # type: ignore[operator]
        torch.testing.assert_close(*finals, rtol=0, atol=0)  # the same operations on the local tensors
    finally:
        dist.destroy_process_group()
