"""torch.distributed.checkpoint's functions for optimizers, in one process, both ways with torch."""

from __future__ import annotations

import copy
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed import checkpoint
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

import zerograd as optim
from engine.common import FLAGS, OWN, SHARED

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full_state_dict": {"full_state_dict": True},
    "flatten_optimizer_state_dict": {"flatten_optimizer_state_dict": True},
    "full and offloaded": {"full_state_dict": True, "cpu_offload": True},
}
CASES = [
    (name, change)
    for name in [*SHARED, *OWN]
    for change in ((optim, optim), (torch.optim, optim), (optim, torch.optim))
    if all(hasattr(module, name) for module in change)
]


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def go_on(of: nn.Module, optimizer: Any, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for p in of.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
    optimizer.zero_grad()


def made(module: ModuleType, name: str, of: nn.Module) -> Any:
    return getattr(module, name)(of.parameters(), **FLAGS.get(name, {}))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "change"), CASES, ids=lambda x: x if isinstance(x, str) else "-".join(m.__name__ for m in x)
)
def test_a_run_goes_on(name: str, change: tuple[ModuleType, ModuleType], way: str) -> None:
    options = StateDictOptions(**WAYS[way])
    first = model()
    one = made(change[0], name, first)
    go_on(first, one, range(3))
    saved = copy.deepcopy(get_optimizer_state_dict(first, one, options=options))
    second = model()
    second.load_state_dict(first.state_dict())
    other = made(change[1], name, second)
    set_optimizer_state_dict(second, other, saved, options=options)
    go_on(first, one, range(3, 6))
    go_on(second, other, range(3, 6))
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        # float32: the libraries differ by a few units in the last place in each of three steps.
        torch.testing.assert_close(p, q, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", [*SHARED, *OWN, "Adafactor"])
def test_a_parameter_that_has_never_moved_starts_when_it_does(name: str) -> None:
    """From a flat dictionary torch makes a state of empty dictionaries, over which torch's own classes stumble."""
    options = StateDictOptions(flatten_optimizer_state_dict=True)
    first, second = model(), model()
    one, other = made(optim, name, first), made(optim, name, second)
    last = first[-1]
    assert isinstance(last, nn.Linear)
    for p in last.parameters():
        p.grad = torch.ones_like(p)
    one.step()
    saved = copy.deepcopy(get_optimizer_state_dict(first, one, options=options))
    second.load_state_dict(first.state_dict())
    set_optimizer_state_dict(second, other, saved, options=options)
    go_on(first, one, range(3))
    go_on(second, other, range(3))
    assert all(map(torch.equal, first.parameters(), second.parameters()))


@pytest.mark.parametrize("way", WAYS)
def test_parameters_in_another_order_get_their_own_state(way: str) -> None:
    """The names in torch's dictionary stay in the order in which they were saved; its keys do not."""
    options = StateDictOptions(**WAYS[way])
    first, second = model(), model()
    one = optim.AdamW(first.named_parameters())
    go_on(first, one, range(3))
    backwards = list(second.named_parameters())[::-1]
    other = optim.AdamW(backwards)
    saved = copy.deepcopy(get_optimizer_state_dict(first, one, options=options))
    set_optimizer_state_dict(second, other, saved, options=options)
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one.state[p]["exp_avg"], other.state[q]["exp_avg"])
    assert other.param_groups[0]["param_names"] == [name for name, _ in backwards]


@pytest.mark.filterwarnings("ignore:.*single process:UserWarning")
def test_through_files(tmp_path: Path) -> None:
    first = model()
    one = made(optim, "AdamW", first)
    go_on(first, one, range(3))
    second = model()
    second.load_state_dict(first.state_dict())
    other = made(optim, "AdamW", second)
    saved, found = ({"optimizer": get_optimizer_state_dict(m, o)} for m, o in ((first, one), (second, other)))
    checkpoint.save(saved, checkpoint_id=tmp_path)
    checkpoint.load(found, checkpoint_id=tmp_path)
    set_optimizer_state_dict(second, other, found["optimizer"])
    go_on(first, one, range(3, 6))
    go_on(second, other, range(3, 6))
    assert all(map(torch.equal, first.parameters(), second.parameters()))
