"""Tiles of 64 elements compute what the loops over groups do, to the bit; which of them runs is no user's business."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import llvmlite.binding as llvm
import pytest
import torch
from torch import Tensor

import zerograd as optim
from zerograd.algebra import lerp, rule, sqrt, where
from zerograd.engine.programs import Program
from zerograd.kernels.cpu import kernel, machine, tiles
from zerograd.kernels.cpu.coders import Coder
from zerograd.kernels.cpu.tiles import CODERS

SHAPES = ((70, 320), (9, 64), (6, 1024), (41, 200), (2, 8, 64), (20_544,), (20_001,))
"""Rows of whole tiles, with and without half a group at their end; rows and a vector that end elsewhere."""


@rule
def two_products(g: Any, m: Any, v: Any, *, a: float = 0.9, b: float = 0.99, c: float = 0.3, d: float = 0.7) -> Any:
    """The compiler may merge either product with the sum, and roots lie in another turn than the rest."""
    m = lerp(m, g, 1 - a)
    v = b * v + (1 - b) * g * g
    return m * c + sqrt(v) * d, m, v


@rule
def products_everywhere(g: Any, p: Any, m: Any, v: Any, *, a: float = 0.9, c: float = 0.3, d: float = 0.7) -> Any:
    """Sums of products whose operands the compiler once put into another order in one of eight turns."""
    m = where((v - d) > c, v * g - g * d, g * p + p * v) * a + m * c
    v = lerp(v, g * g, 0.01)
    return (m * d) * c + (c - v) * p, m, v


CASES: tuple[tuple[str | Any, dict[str, Any]], ...] = (
    ("AdamW", {"weight_decay": 0.1}),
    ("AdamW", {"betas": (0.4, 0.9), "clip": 0.5}),  # a lerp by more than a half
    ("AdamW", {"betas": (0.9, 0.3)}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("AdamW", {"state_format": {"exp_avg": "int8"}}),
    ("Adamax", {}),
    ("Lion", {}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("AdamW", {"wide": True}),
    (two_products, {}),
    (products_everywhere, {}),
)


FOREIGN = {
    "Sorting": ("sapphirerapids", {"vpermb": 10, "vpmultishiftqb": 8, "vpdpwssd": 8}),
    "Saturating": ("haswell", {"vpackusdw": 8, "vpackuswb": 4, "vpackssdw": 4, "vpacksswb": 2, "vpermd": 4}),
}
"""For each coder a processor that it is for, and how often a tile of AdamW with both moments in 8 bits needs what: once
for 16 numbers or for 64 codes with AVX-512, for 16 and 32 codes with AVX2."""


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


def run(name: str | Any, hypers: dict[str, Any]) -> list[Tensor]:
    settings = {"state_format": "int8", **hypers}
    if settings.pop("wide", False) or settings["state_format"] == "int8":
        settings["state_format"] = optim.Int8(smallest=0, vectors=True, wide="wide" in hypers)
    torch.manual_seed(3)
    own = [torch.randn(shape).requires_grad_() for shape in SHAPES]
    kind: Any = getattr(optim, name) if isinstance(name, str) else optim.from_rule(name, name="Case", lr=1.0)
    optimizer = kind(own, lr=1e-2, **settings)
    for step in range(3):
        for p in own:
            p.grad = gradient(tuple(p.shape), step)
        optimizer.step()
    assert {row.backend for row in optim.describe(optimizer).parameters} == {"compiled kernel"}
    tensors = [p.detach() for p in own]
    tensors += [x for p in own for x in optimizer.state[p].values() if isinstance(x, Tensor)]
    return [x.contiguous().view(-1).view(torch.uint8) for x in tensors]


def remembered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What kernels are made of from now on; each is made anew."""
    found: list[tuple[Any, ...]] = []

    def anew(program: Program, layout: Any) -> kernel.Kernel:
        found.append((program.graph, layout, program.prelude.nodes))
        return kernel.Kernel(*found[-1])

    monkeypatch.setattr(Program, "kernel", anew)
    return found


def sources(made: list[tuple[Any, ...]]) -> list[str]:
    return [one.source for given in made for one in kernel.Kernel(*given).functions]


def is_tiled(source: str, coder: Coder) -> bool:
    return "\ntile:" in source and f"%noise = phi {coder.registers.words}" in re.sub(r"%noise\d+", "%noise", source)


@pytest.mark.parametrize("coder", CODERS, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize(("name", "hypers"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_tiles_give_the_bits_of_groups(
    name: str | Any, hypers: dict[str, Any], coder: Coder, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not machine.has(*coder.features):
        pytest.skip(f"this processor lacks what the coder needs: {', '.join(coder.features)}")
    monkeypatch.setattr(tiles, "CODERS", (coder,))
    made = remembered(monkeypatch)
    tiled = run(name, hypers)
    assert any(is_tiled(source, coder) for source in sources(made))
    made.clear()
    monkeypatch.setattr(kernel, "serves", lambda *_: False)
    plain = run(name, hypers)
    assert made
    assert not any(is_tiled(source, coder) for source in sources(made))
    assert [torch.equal(a, b) for a, b in zip(tiled, plain, strict=True)] == [True] * len(plain)


@pytest.mark.parametrize("coder", CODERS, ids=lambda one: type(one).__name__)
def test_a_tile_is_made_of_the_operations_that_a_coder_is_for(coder: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled for a processor that has them, whether or not this one has."""
    if "x86" not in llvm.get_default_triple():
        pytest.skip(f"coders are for x86, and this processor is another: {machine.processor()}")
    made = remembered(monkeypatch)
    run("AdamW", {})
    processor, wanted = FOREIGN[type(coder).__name__]
    triple = llvm.get_default_triple()
    target = llvm.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3, reloc="default", jit=True)
    monkeypatch.setattr(machine, "_target", lambda: target)
    monkeypatch.setattr(machine, "has", lambda *features: set(features) <= set(coder.features))
    monkeypatch.setattr(kernel, "function_at", lambda *_: 0)  # it is read, and never run
    monkeypatch.setattr(tiles, "CODERS", (coder,))
    (source,) = sources(made[:1])
    assert is_tiled(source, coder)
    blocks = re.split(r"^\.LBB", machine.assembly(source), flags=re.MULTILINE)
    tile = max(blocks, key=lambda block: block.count("vsqrtps"))
    found = Counter(re.findall(r"^\t(v\w+)", tile, flags=re.MULTILINE))
    assert {name: found[name] for name in wanted} == wanted
    assert found["vsqrtps"] == found["vdivps"] == coder.registers.turns
