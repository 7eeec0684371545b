"""Where machine code can't ask about objects or tensors, Python asks: slower, but with the same answers and bits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from zerograd.kernels.cpu import inspector, versions, watch

PARTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "objects": lambda patch: patch.setattr(watch, "works", lambda: False),
    "tensors": lambda patch: patch.setattr(inspector, "native", lambda: "switched off"),
    "versions": lambda patch: patch.setattr(versions, "_function", lambda: None),
}
MISSING = [(), *((name,) for name in PARTS), tuple(PARTS)]


def shaped() -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in ((7, 5), (3,), (), (40_000,))]


def change(step: int, optimizer: Any, params: list[Tensor]) -> None:
    """What happens before a step: things that a plan has to notice."""
    p = params[0]
    if step == 3:
        p.data = p.data * 2
    elif step == 4:
        optimizer.state[p]["exp_avg"] = optimizer.state[p]["exp_avg"].clone()
    elif step == 5:
        optimizer.param_groups[0]["lr"] = 0.5
    elif step == 6:
        optimizer.param_groups[0]["maximize"] = True
    elif step == 7:
        optimizer.state[p]["step"].fill_(50)
    elif step == 8:
        optimizer.state = defaultdict(dict)
    elif step == 9:
        optimizer.param_groups[0]["betas"] = [0.5, 0.9]
    elif step == 10:
        optimizer.param_groups[0]["betas"][0] = 0.1
    elif step == 11:
        optimizer.param_groups[0]["params"] = params[::-1]
    elif step == 12 and "amsgrad" in optimizer.param_groups[0]:
        optimizer.param_groups[0]["amsgrad"] = True


def run(name: str, **hypers: Any) -> tuple[list[Tensor], list[int]]:
    params = shaped()
    optimizer = getattr(optim, name)(params, lr=0.1, **hypers)
    bumped = []
    for step in range(15):
        generator = torch.Generator().manual_seed(step)
        for i, p in enumerate(params):
            p.grad = None if (step, i) == (13, 1) else torch.randn(p.shape, generator=generator)
        change(step, optimizer, params)
        before = params[0]._version
        optimizer.step()
        bumped.append(params[0]._version - before)
    return [p.detach() for p in params], bumped


@pytest.mark.parametrize(("name", "hypers"), [("AdamW", {}), ("NAdam", {}), ("AdamW", {"clip": 0.5})], ids=str)
@pytest.mark.parametrize("missing", MISSING[1:], ids=str)
def test_nothing_depends_on_who_asks(
    missing: tuple[str, ...], name: str, hypers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    native = run(name, **hypers)
    for part in missing:
        PARTS[part](monkeypatch)
    asked = run(name, **hypers)
    assert all(torch.equal(a, b) for a, b in zip(native[0], asked[0], strict=True))
    assert native[1] == asked[1] == [1] * 15


def test_here_everything_is_asked_in_machine_code() -> None:
    """Otherwise the test above compares nothing."""
    assert watch.works()
    assert inspector.native() is None
    assert versions._function() is not None
