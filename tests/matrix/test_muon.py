"""Law: Muon is what its transcription in tests/oracles says, with every torch, and no mutant of it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import oracles
import zerograd as optim
from laws.mutants import mutants, with_function
from laws.table import Config, grid
from matrix.worlds import give, parameters
from zerograd import matrix

CONFIGS: list[Config] = [
    *grid(lr=[0.05], momentum=[0.95, 0.5], nesterov=[False, True], weight_decay=[0.0, 0.1]),
    *grid(lr=[0.05], adjust_lr_fn=["original", "match_rms_adamw"], ns_steps=[5, 2, 0], eps=[1e-7, 100.0]),
    {"lr": 0.05, "ns_coefficients": (2.0, -1.5, 0.5)},
]
STEPS = 5


def difference(config: Config, kind: type[Any]) -> float:
    """The largest of any element after any step, in units of lr times the longest step's scale."""
    params: list[Tensor] = parameters("Muon", torch.float64)
    twins = [p.detach().clone() for p in params]
    mine, reference = kind(params, **config), oracles.Muon(twins, **config)
    worst = 0.0
    for step in range(STEPS):
        give(params, step, "Muon")
        for p, twin in zip(params, twins, strict=True):
            twin.grad = p.grad
        mine.step()
        reference.step()
        for p, twin in zip(params, twins, strict=True):
            scale = 0.2 * max(p.shape) ** 0.5 if config.get("adjust_lr_fn") == "match_rms_adamw" else (
                max(1.0, p.shape[0] / p.shape[1]) ** 0.5
            )  # fmt: skip
            found = (p.detach() - twin).abs().max().item() / (config["lr"] * scale)
            worst = max(worst, found) if found == found else float("inf")
    return worst


# float32 sums may round a product to the other neighbour in bfloat16 (2^-8 of 1) than float64 sums do, and the
# polynomial, whose slope is up to 3.4, carries that on: up to three units were seen in a step, and steps add up.
TOLERANCE = STEPS * 4 * 2**-8


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_every_step_is_the_transcriptions(config: Config) -> None:
    assert difference(config, optim.Muon) <= TOLERANCE


def remade(function: Any) -> type[Any]:
    """Our class with another function for its rule."""
    return optim.from_rule(with_function(matrix.muon, "muon", function), name="Muon", lr=1e-3, keeps_step=False)


def test_the_rule_itself_is_no_mutant() -> None:
    assert difference(CONFIGS[0], remade(matrix.muon.function)) <= TOLERANCE


def test_no_mutant_is() -> None:
    escaped = []
    for what, mutant in mutants(matrix.muon.function):
        kind = remade(mutant)
        try:
            caught = any(difference(config, kind) > TOLERANCE for config in reversed(CONFIGS))
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            caught = True
        if not caught:
            escaped.append(what)
    assert escaped == []


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
def test_each_thread_multiplies_a_large_matrix_of_one_shape(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And small ones stand in one stack for each shape."""
    stacks: list[tuple[int, tuple[int, ...]]] = []
    inner = matrix.muon.function.__globals__["orthogonalized"]

    def seen(x: list[Tensor], *others: Any) -> Any:
        stacks.append((len(x), tuple(x[0].shape)))
        return inner(x, *others)

    monkeypatch.setitem(matrix.muon.function.__globals__, "orthogonalized", seen)
    shapes = [(380, 360), (9, 12), (360, 380), (380, 360), (9, 12), (380, 360), (12, 9)]
    finals = []
    for kind in (torch.optim.Muon, optim.Muon):
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator)
        kind(params, lr=0.05).step()
        finals.append(params)
    large = [(2, (380, 360)), (1, (380, 360))] if threads == 2 else [(1, (380, 360))] * 3
    assert sorted(stacks) == sorted([*large, (1, (360, 380)), (2, (9, 12)), (1, (12, 9))])
    for mine, theirs in zip(finals[1], finals[0], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0.05 * 8 * 2**-8)  # products in bfloat16: see TOLERANCE
