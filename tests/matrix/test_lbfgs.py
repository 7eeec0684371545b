"""Law: LBFGS goes torch's way bit for bit, also through a copy, a pickle or a checkpoint in the middle of the run."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import zerograd as optim

CONFIGS: list[dict[str, Any]] = [{}, {"line_search_fn": "strong_wolfe"}, {"lr": 0.3, "history_size": 2}]
Switch = Callable[[torch.nn.Module, Any], tuple[torch.nn.Module, Any]]


def losses(kind: Any, config: dict[str, Any], switch: Switch | None = None) -> list[float]:
    """Six steps on a small network; after the third the model and the optimizer are exchanged."""
    generator = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(32, n, generator=generator) for n in (4, 1))
    model: torch.nn.Module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    optimizer = kind(model.parameters(), max_iter=4, **config)
    found = []
    for step in range(6):
        if switch is not None and step == 3:
            model, optimizer = switch(model, optimizer)

        def closure(model: torch.nn.Module = model, optimizer: Any = optimizer) -> torch.Tensor:
            optimizer.zero_grad()
            loss: torch.Tensor = ((model(inputs) - targets) ** 2).mean()
            loss.backward()
            return loss

        found.append(optimizer.step(closure).item())
    return found


def through_a_checkpoint(kind: Any, config: dict[str, Any]) -> Switch:
    def switch(model: torch.nn.Module, optimizer: Any) -> tuple[torch.nn.Module, Any]:
        other = kind(model.parameters(), max_iter=4, **config)
        buffer = io.BytesIO()
        torch.save(optimizer.state_dict(), buffer)
        buffer.seek(0)
        other.load_state_dict(torch.load(buffer, weights_only=True))
        return model, other

    return switch


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_way_through_a_run_is_torchs(config: dict[str, Any]) -> None:
    wanted = losses(torch.optim.LBFGS, config)
    assert wanted[-1] < wanted[0]
    ways: dict[str, tuple[Any, Switch | None]] = {
        "plain": (optim.LBFGS, None),
        "copy": (optim.LBFGS, lambda m, o: copy.deepcopy((m, o))),
        "pickle": (optim.LBFGS, lambda m, o: pickle.loads(pickle.dumps((m, o)))),
        "to torch": (optim.LBFGS, through_a_checkpoint(torch.optim.LBFGS, config)),
        "from torch": (torch.optim.LBFGS, through_a_checkpoint(optim.LBFGS, config)),
    }
    for way, (kind, switch) in ways.items():
        assert losses(kind, config, switch) == wanted, way


def test_torchs_own_does_not_survive_a_copy() -> None:
    """What ours is for; when this fails, torch has mended it."""
    with pytest.raises(AttributeError, match="_params"):
        losses(torch.optim.LBFGS, {}, lambda m, o: copy.deepcopy((m, o)))


def test_hooks_fire_once_a_step() -> None:
    p = torch.ones(2, requires_grad=True)
    optimizer, seen = optim.LBFGS([p]), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert seen == ["before", "after"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"clip": 1.0}, TypeError, "takes no clip"),
        ({"nonfinite": "skip"}, TypeError, "takes no nonfinite"),
        ({"learning_rate": 1.0}, TypeError, "did you mean 'lr'"),
        ({"lr": -1.0}, ValueError, "Invalid learning rate"),
        ({"line_search_fn": "armijo"}, RuntimeError, "only 'strong_wolfe' is supported"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        optim.LBFGS([torch.ones(2)], **arguments)


def test_a_second_group_is_refused_and_the_first_stays() -> None:
    optimizer = optim.LBFGS([torch.ones(2)])
    with pytest.raises(ValueError, match="per-parameter options"):
        optimizer.add_param_group({"params": [torch.ones(3)]})
    assert len(optimizer.param_groups) == 1


def training(module: Any, dtype: torch.dtype, *, scaled: bool = False, compiled: bool = False) -> list[torch.Tensor]:
    """The parameters after each of three steps on a linear model."""
    x = torch.randn(16, 3, generator=torch.Generator().manual_seed(0)).to(dtype)
    weight = torch.ones(3, dtype=dtype, requires_grad=True)
    optimizer = module.LBFGS([weight], max_iter=3, line_search_fn="strong_wolfe")
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, enabled=scaled)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss: torch.Tensor = ((x @ weight).abs() - 1).square().mean()
        scaler.scale(loss).backward()
        return loss

    def step() -> None:
        optimizer.step(closure)

    found = []
    for _ in range(3):
        if scaled:
            closure()
            scaler.step(optimizer, closure)
            scaler.update()
        else:
            (torch.compile(step, backend="eager") if compiled else step)()
        found.append(weight.detach().clone())
    return found


# Dynamo looks at the grad of every tensor that it meets, leaf or not, torch's LBFGS too
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("way", [{}, {"scaled": True}, {"compiled": True}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64], ids=str)
def test_scalers_compilers_and_complex_numbers_meet_torchs(way: dict[str, bool], dtype: torch.dtype) -> None:
    if dtype.is_complex and way:
        pytest.skip("one of the two at a time")
    theirs, mine = (training(module, dtype, **way) for module in (torch.optim, optim))
    torch._dynamo.reset()
    assert all(map(torch.equal, theirs, mine))


def test_a_lost_key_and_a_missing_closure_are_torchs_errors() -> None:
    p = torch.ones(2, requires_grad=True)
    optimizer: Any = optim.LBFGS([p])
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()
    del optimizer.param_groups[0]["lr"]
    with pytest.raises(KeyError, match="lr"):
        optimizer.step(lambda: (p**2).sum())
