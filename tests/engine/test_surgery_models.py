"""What people do to a model and its optimizer between steps: torch.optim, treated alike, ends at the same numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.common import SHARED, noise, ours, torchs

Surgery = Callable[[nn.Module, Any], None]
HYPERS: dict[str, dict[str, Any]] = {"SGD": {"momentum": 0.9}}


def model() -> nn.Module:
    made = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    with torch.no_grad():
        for i, p in enumerate(made.parameters()):
            p.copy_(noise(i, *p.shape))
    return made


def train(net: nn.Module, optimizer: Any, steps: int, seed: int) -> None:
    for step in range(steps):
        for i, p in enumerate(net.parameters()):
            p.grad = noise(1000 * seed + 10 * step + i, *p.shape).to(p.dtype)
        optimizer.step()


def compare(mine: nn.Module, theirs: nn.Module, tolerance: float) -> None:
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert p.dtype == q.dtype
        torch.testing.assert_close(p, q, rtol=tolerance, atol=tolerance)


def both(name: str, surgery: Surgery, tolerance: float, **hypers: Any) -> list[Any]:
    """Three steps, the surgery, three steps, twice; with zerograd's class and with torch's."""
    found = []
    for make in (ours, torchs):
        net = model()
        optimizer = make(name, net.parameters(), **{**HYPERS.get(name, {}), **hypers})
        for again in range(2):
            train(net, optimizer, 3, seed=again + 1)
            surgery(net, optimizer)
        train(net, optimizer, 3, seed=5)
        found.append((net, optimizer))
    compare(found[0][0], found[1][0], tolerance)
    return [optimizer for _, optimizer in found]


def swap_data(net: nn.Module, _: Any) -> None:
    for p in net.parameters():
        p.data = p.data * 0.5


def average_weights(net: nn.Module, _: Any) -> None:
    """As an average of weights is put in for evaluation, and the weights back."""
    kept = [p.data for p in net.parameters()]
    for p in net.parameters():
        p.data = torch.zeros_like(p)
    for p, data in zip(net.parameters(), kept, strict=True):
        p.data = data


def load_model(net: nn.Module, _: Any) -> None:
    net.load_state_dict({name: value * 0.9 for name, value in net.state_dict().items()})


def assign_model(net: nn.Module, optimizer: Any) -> None:
    """New Parameter objects: the optimizer goes on with the old ones, so the new ones are handed to it."""
    old = list(net.parameters())
    net.load_state_dict({name: value.clone() for name, value in net.state_dict().items()}, assign=True)
    for p, q in zip(old, net.parameters(), strict=True):
        if p in optimizer.state:
            optimizer.state[q] = optimizer.state.pop(p)
    optimizer.param_groups[0]["params"] = list(net.parameters())


def restore_a_copy(_: nn.Module, optimizer: Any) -> None:
    kept = copy.deepcopy(optimizer.state_dict())
    optimizer.step()
    optimizer.load_state_dict(kept)


def clear_moments(_: nn.Module, optimizer: Any) -> None:
    for state in optimizer.state.values():
        for value in state.values():
            if torch.is_tensor(value) and value.dim():
                value.zero_()


def restart_one(_: nn.Module, optimizer: Any) -> None:
    """One parameter counts its steps anew, in place."""
    state = optimizer.state[optimizer.param_groups[0]["params"][0]]
    if "step" in state:
        state["step"].zero_()


def shared(net: nn.Module, optimizer: Any) -> None:
    net.share_memory()
    for state in optimizer.state.values():
        for value in state.values():
            if torch.is_tensor(value):
                value.share_memory_()


def exchange_step_data(_: nn.Module, optimizer: Any) -> None:
    for state in optimizer.state.values():
        if "step" in state:
            state["step"].data = state["step"].data + 2


def half_frozen(net: nn.Module, optimizer: Any) -> None:
    for p in list(net.parameters())[:2]:
        p.grad = None
    optimizer.step()


SURGERIES = (
    swap_data, average_weights, load_model, assign_model, restore_a_copy, clear_moments, restart_one, shared,
    exchange_step_data, half_frozen,
)  # fmt: skip


@pytest.mark.parametrize("surgery", SURGERIES, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", SHARED)
def test_between_steps(name: str, surgery: Surgery) -> None:
    # Nine steps of float32, rounded in another order; a root near zero (Adadelta) makes an ulp some ulps more.
    both(name, surgery, 2e-5)


LERPS = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax")
"""torch's rules of these refuse states of another dtype than the parameter's."""


def doubled(net: nn.Module, _: Any) -> None:
    net.double()


@pytest.mark.parametrize("name", [n for n in SHARED if n not in LERPS])
def test_a_model_becomes_double_while_its_states_stay_float(name: str) -> None:
    mine, theirs = both(name, doubled, 2e-5)  # the states are float32 on both sides
    for a, b in zip(mine.state.values(), theirs.state.values(), strict=True):
        assert {k: v.dtype for k, v in a.items() if v.dim()} == {k: v.dtype for k, v in b.items() if v.dim()}


@pytest.mark.parametrize("name", LERPS)
def test_a_model_becomes_double_where_torch_raises(name: str) -> None:
    """zerograd goes on, as a model that was double from the start would, to float32's digits."""
    net, twin = model(), model().double()
    optimizers = [ours(name, one.parameters()) for one in (net, twin)]
    for one, optimizer in zip((net, twin), optimizers, strict=True):
        train(one, optimizer, 3, seed=1)
        one.double()
        train(one, optimizer, 3, seed=2)
    compare(net, twin, 2e-5)
    theirs = model()
    optimizer = torchs(name, theirs.parameters())
    train(theirs, optimizer, 3, seed=1)
    theirs.double()
    with pytest.raises(RuntimeError, match="dtype"):
        train(theirs, optimizer, 1, seed=2)


@pytest.mark.parametrize("name", SHARED)
def test_parameters_become_bfloat16_while_states_stay_float(name: str) -> None:
    """The state is kept as precise as it was, and the step is what float32 gives, rounded once."""
    nets = [model(), model()]
    optimizers = [ours(name, net.parameters(), **HYPERS.get(name, {})) for net in nets]
    for net, optimizer in zip(nets, optimizers, strict=True):
        train(net, optimizer, 2, seed=1)
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        q.data = q.data.bfloat16().float()
        p.data = p.data.bfloat16()
    for net, optimizer in zip(nets, optimizers, strict=True):
        for i, p in enumerate(net.parameters()):
            p.grad = None
            p.grad = noise(70 + i, *p.shape).bfloat16().to(p.dtype)
        optimizer.step()
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        # One rounding to bfloat16 of the same float32 numbers: half a unit of its eight bits, 2^-9, and a tie.
        torch.testing.assert_close(p.float(), q, rtol=2**-8, atol=1e-6)
        a, b = (o.state[x] for o, x in zip(optimizers, (p, q), strict=True))
        for key, value in a.items():
            assert value.dtype == torch.float32 or not value.dim()
            torch.testing.assert_close(value, b[key], rtol=1e-6, atol=1e-7)


def resized(net: nn.Module, optimizer: Any) -> None:
    """Neurons added: data of another shape, and states that grow with it."""
    p = next(iter(net.parameters()))
    p.grad = None
    p.data = torch.cat([p.data, torch.ones(2, p.shape[1])])
    for key, value in optimizer.state[p].items():
        if torch.is_tensor(value) and value.dim():
            optimizer.state[p][key] = torch.cat([value, torch.zeros(2, value.shape[1])])


@pytest.mark.parametrize("name", [n for n in SHARED if n != "Rprop"])
def test_a_parameter_grows_and_its_states_with_it(name: str) -> None:
    both(name, resized, 2e-5)


@pytest.mark.parametrize("name", ["Adam", "Adagrad", "RMSprop"])
def test_states_of_another_shape_are_refused_before_anything_moves(name: str) -> None:
    net = model()
    optimizer = ours(name, net.parameters())
    train(net, optimizer, 3, seed=1)
    p, *others = net.parameters()
    p.grad = None
    p.data = torch.ones(7, 3)
    before = [q.detach().clone() for q in others]
    p.grad = torch.ones(7, 3)
    with pytest.raises(RuntimeError, match=r"has shape \(4, 3\), its parameter \(7, 3\)"):
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(others, before, strict=True))
    assert torch.equal(p, torch.ones(7, 3))


@pytest.mark.parametrize("name", ["AdamW", "Adam", "SGD", "RMSprop", "NAdam"])
def test_one_cycle_moves_lr_and_betas_every_step(name: str) -> None:
    found: list[list[Tensor]] = []
    for make in (ours, torchs):
        net = model()
        optimizer = make(name, net.parameters(), **({"momentum": 0.9} if name in ("SGD", "RMSprop") else {}))
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=20, cycle_momentum=True)
        values = set()
        for step in range(19):
            train(net, optimizer, 1, seed=step)
            scheduler.step()
            group = optimizer.param_groups[0]
            values.add(group["betas"][0] if "betas" in group else group["momentum"])
        assert len(values) > 10, "the scheduler moves the momentum"
        found.append([p.detach() for p in net.parameters()])
    for p, q in zip(*found, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=2e-5)  # nineteen steps of float32 in another order
