"""The models are what they are called; the contestants share nothing and do the same work."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from zerograd.benchmarking import model_shapes, training_part
from zerograd.benchmarking.entrants import HYPERS, Entrant, Start, deepspeed_entrant, torch_and_ours
from zerograd.benchmarking.rows import COPY, DEFAULT, FUSED, OURS, Row
from zerograd.benchmarking.training_part import NETWORKS, training_steps
from zerograd.benchmarking.turns import Timing
from zerograd.benchmarking.update_half_part import LARGEST_NORM, update_entrants, update_turn

SMALL = model_shapes.SEED.shapes
NAMED = {
    model_shapes.SEED: (4, 61),
    model_shapes.MANY: (1000, 64_000),
    model_shapes.MLP: (6, 200_000),
    model_shapes.GPT2: (148, 20_000_000),
    model_shapes.ONE_LARGE: (1, 50_000_000),
}


def test_the_models_add_up_to_what_they_claim() -> None:
    assert set(NAMED) == {*model_shapes.STEP_MODELS, *model_shapes.UPDATE_MODELS}
    for model, (tensors, numbers) in NAMED.items():
        assert len(model.shapes) == tensors, model.name
        assert math.isclose(model.numbers, numbers, rel_tol=0.02), model.name


def test_the_shapes_are_gpt_2s() -> None:
    """With GPT-2's own width and vocabulary they have the 124,439,808 numbers of the published model."""
    gpt2 = model_shapes.Model("GPT-2", model_shapes.gpt2_shapes(768, 50_257))
    assert (len(gpt2.shapes), gpt2.numbers) == (148, 124_439_808)


def _memories(tensors: Iterable[Tensor | None]) -> list[int]:
    return [t.untyped_storage().data_ptr() for t in tensors if t is not None]


def _all_of(entrants: dict[str, Entrant], start: Start) -> list[int]:
    own = [t for e in entrants.values() for p in e.params for t in (p, p.grad)]
    return _memories([*own, *start.params, *start.grads])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", HYPERS)
def test_nobody_shares_parameters_or_gradients(name: str, dtype: torch.dtype) -> None:
    start = Start.drawn(SMALL, dtype)
    entrants = torch_and_ours(name, start)
    assert len(entrants) == 4
    memories = _all_of(entrants, start)
    assert len(set(memories)) == len(memories) == (4 + 1) * 2 * len(SMALL)
    for one in entrants.values():
        for p, p0, g0 in zip(one.params, start.params, start.grads, strict=True):
            assert torch.equal(p, p0)
            assert p.grad is not None
            assert torch.equal(p.grad, g0)


@pytest.mark.parametrize("name", HYPERS)
def test_all_step_to_the_same_place(name: str) -> None:
    start = Start.drawn(SMALL, torch.float32)
    entrants = torch_and_ours(name, start)
    for one in entrants.values():
        assert one.stands_still(start)
        for _ in range(3):
            one.optimizer.step()
        assert not one.stands_still(start)
        for p, expected in zip(one.params, entrants[DEFAULT].params, strict=True):
            torch.testing.assert_close(p, expected)


def test_the_update_half_has_parameters_of_its_own_too() -> None:
    start = Start.drawn(SMALL, torch.float32)
    memories = _all_of(update_entrants(start), start)
    assert len(set(memories)) == len(memories)


def test_each_turn_of_the_update_half_starts_from_the_same_gradients_and_ends_with_zeros() -> None:
    start = Start.drawn(SMALL, torch.float32)
    assert torch.nn.utils.get_total_norm(start.grads) > 2 * LARGEST_NORM, "or clipping would do nothing"
    for label, one in update_entrants(start).items():
        turn = update_turn(label, one, start)
        grads = [p.grad for p in one.params]
        for _ in range(2):
            turn.prepare()
            for g, g0 in zip(grads, start.grads, strict=True):
                torch.testing.assert_close(g, g0, rtol=0, atol=0)
            turn.call()
            assert [p.grad for p in one.params] == grads
            assert all(g is not None and not g.any() for g in grads)


def test_the_update_half_ends_in_the_same_place() -> None:
    start = Start.drawn(SMALL, torch.float32)
    entrants = update_entrants(start)
    for label, one in entrants.items():
        turn = update_turn(label, one, start)
        for _ in range(3):
            turn.prepare()
            turn.call()
        for p, expected in zip(one.params, entrants[DEFAULT].params, strict=True):
            torch.testing.assert_close(p, expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_networks_train_alike_and_apart(name: str) -> None:
    network, batch = NETWORKS[name]
    torch.manual_seed(0)
    steps = training_steps(network(), [batch(), batch()])
    assert list(steps) == [DEFAULT, FUSED, OURS]
    memories = _memories(p for model, _ in steps.values() for p in model.parameters())
    assert len(set(memories)) == len(memories)
    for _ in range(2):
        for _, step in steps.values():
            step()
    for model, _ in steps.values():
        for p, expected in zip(model.parameters(), steps[DEFAULT][0].parameters(), strict=True):
            torch.testing.assert_close(p, expected, rtol=1e-3, atol=1e-4)  # a tiny gradient's sign decides a whole lr


def test_the_transformer_has_about_a_million_numbers() -> None:
    assert 1e6 <= sum(p.numel() for p in training_part.Letters().parameters()) < 1.1e6


def test_ratios_compare_optimizers_only() -> None:
    timings = {DEFAULT: Timing(4.0, 6.0), COPY: Timing(1.0, 1.0), OURS: Timing(2.0, 4.0)}
    assert Row("one", timings, threads=1, rounds=1).ratios() == {DEFAULT: Timing(2.0, 1.5)}


def test_without_deepspeed_it_is_left_out_in_words() -> None:
    assert deepspeed_entrant(Start.drawn(SMALL, torch.float32)) == (
        {},
        "DeepSpeedCPUAdam is left out: deepspeed is not installed.",
    )


class Imitation(torch.optim.AdamW):
    """Takes DeepSpeed's arguments."""

    def __init__(self, params: list[Tensor], *, adamw_mode: bool, **hypers: Any) -> None:
        assert adamw_mode
        super().__init__(params, **hypers)


def _without_compiler(*_: object, **__: object) -> None:
    raise RuntimeError("no compiler")


@pytest.mark.parametrize(
    ("kind", "labels", "words"),
    [
        (Imitation, ["DeepSpeedCPUAdam"], "the one of deepspeed 9.9"),
        (_without_compiler, [], "can't be made here (RuntimeError)"),
    ],
)
def test_deepspeed_takes_part_where_it_can(
    monkeypatch: pytest.MonkeyPatch, kind: object, labels: list[str], words: str
) -> None:
    for name in ("deepspeed", "deepspeed.ops", "deepspeed.ops.adam"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None)
        module.__version__ = "9.9"  # type: ignore[attr-defined]
        module.DeepSpeedCPUAdam = kind  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    entrants, sentence = deepspeed_entrant(Start.drawn(SMALL, torch.float32))
    assert list(entrants) == labels
    assert words in sentence
