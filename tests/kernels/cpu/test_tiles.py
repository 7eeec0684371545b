"""Tiles of 64 elements compute what the loops over groups do, to the bit; which of them runs is no user's business."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from zerograd.engine.programs import Program
from zerograd.kernels.cpu import kernel, machine
from zerograd.kernels.cpu.tiles import coder

SHAPES = ((70, 320), (9, 64), (6, 1024), (41, 200), (2, 8, 64), (20_544,), (20_001,))
"""Rows of whole tiles, with and without half a group at their end; rows and a vector that end elsewhere."""

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"betas": (0.4, 0.9), "clip": 0.5}),  # a lerp by more than a half
    ("AdamW", {"betas": (0.9, 0.3)}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("AdamW", {"state_format": {"exp_avg": "int8"}}),
    ("Adamax", {}),
    ("Lion", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("AdamW", {"wide": True}),
)


def gradient(shape: tuple[int, ...], step: int) -> Tensor:
    """Of all sizes, with zeros of both signs; at the last step with what has no code."""
    generator = torch.Generator().manual_seed(step)
    g = torch.randn(shape, generator=generator) * torch.exp(3 * torch.randn(shape, generator=generator))
    flat = g.view(-1)
    flat[64:192], flat[200:300:3], flat[201:300:3] = 0.0, 0.0, -0.0
    flat[300:330] *= 1e-30
    flat[640:960] *= 1e-18  # their squares are among the smallest numbers, and so is their scale
    flat[-1] = 1e18
    if step == 2:
        flat[70], flat[-70], flat[450] = torch.nan, torch.inf, -3e38
    return g


def run(name: str, hypers: dict[str, Any]) -> list[Tensor]:
    settings = {"state_format": "int8", **hypers}
    if settings.pop("wide", False) or settings["state_format"] == "int8":
        settings["state_format"] = optim.Int8(smallest=0, vectors=True, wide="wide" in hypers)
    torch.manual_seed(3)
    own = [torch.randn(shape).requires_grad_() for shape in SHAPES]
    optimizer = getattr(optim, name)(own, lr=1e-2, **settings)
    for step in range(3):
        for p in own:
            p.grad = gradient(tuple(p.shape), step)
        optimizer.step()
    assert {row.backend for row in optim.describe(optimizer).parameters} == {"compiled kernel"}
    tensors = [p.detach() for p in own]
    tensors += [x for p in own for x in optimizer.state[p].values() if isinstance(x, Tensor)]
    return [x.contiguous().view(-1).view(torch.uint8) for x in tensors]


@pytest.mark.parametrize(("name", "hypers"), CASES, ids=str)
def test_tiles_give_the_bits_of_groups(name: str, hypers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    if coder() is None:
        pytest.skip("this processor can't sort bytes in registers (AVX-512 VBMI): there are no tiles")
    sources: list[str] = []

    def anew(program: Program, layout: Any) -> kernel.Kernel:
        made = kernel.Kernel(program.graph, layout, program.prelude.nodes)
        sources.extend(f.source for f in made.functions)
        return made

    monkeypatch.setattr(Program, "kernel", anew)
    tiled = run(name, hypers)
    assert any("\ntile:" in source for source in sources)
    sources.clear()
    monkeypatch.setattr(kernel, "serves", lambda *_: False)
    plain = run(name, hypers)
    assert sources
    assert not any("\ntile:" in source for source in sources)
    assert [torch.equal(a, b) for a, b in zip(tiled, plain, strict=True)] == [True] * len(plain)
