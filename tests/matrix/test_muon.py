"""Law: Muon is what its transcription in tests/oracles says, with every torch, and no mutant of it is."""

from __future__ import annotations

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
