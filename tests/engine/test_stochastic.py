"""bfloat16 weights that are rounded stochastically: right on average and the same everywhere."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from zerograd.engine import admission
from zerograd.formats.stochastic import noise_key, rounded

SHAPES = ((33, 5), (40_001,), (), (0,), (1,))


def params() -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    made = [torch.randn(shape, generator=generator).bfloat16() for shape in SHAPES]
    return [p.requires_grad_() for p in [*made, torch.randn(8, 6, generator=generator).bfloat16().t()]]


def run(name: str, steps: int = 4, **hypers: Any) -> tuple[Any, list[Tensor]]:
    torch.manual_seed(11)
    own = params()
    optimizer = getattr(optim, name)(own, lr=1e-3, weight_format="stochastic", **hypers)
    go_on(optimizer, own, range(steps))
    return optimizer, own


def go_on(optimizer: Any, own: list[Tensor], steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for p in own:
            p.grad = torch.randn(p.shape, generator=generator).bfloat16()
        optimizer.step()


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize(("name", "hypers"), [("SGD", {}), ("SGD", {"maximize": True}), ("Rprop", {})], ids=str)
def test_both_backends_round_alike(name: str, hypers: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of so few operations that the backends compute the same bits before they round."""
    _, compiled = run(name, **hypers)
    monkeypatch.setattr(admission, "layout_of", lambda *_: None)
    _, eager = run(name, **hypers)
    assert equal(compiled, eager)


def test_a_step_is_the_exact_one_rounded_by_the_definition() -> None:
    p = params()[0]
    before = p.detach().float()
    optimizer = optim.SGD([p], lr=1e-3, weight_format="stochastic")
    p.grad = torch.ones_like(p)
    optimizer.step()
    key = noise_key(optimizer.param_groups[0]["noise_seed"], 1, 0, 0)
    assert torch.equal(p.detach(), rounded(before - 1e-3, key))


def test_small_updates_arrive_on_average_and_nearest_rounding_loses_them() -> None:
    """100 steps of 1e-4 from 1, where bfloat16's next numbers are 1/256 below and 1/128 above."""
    found = {}
    for form in (None, "stochastic"):
        p = torch.ones(100_000, dtype=torch.bfloat16).requires_grad_()
        optimizer = optim.SGD([p], lr=1e-4, weight_format=form)
        for _ in range(100):
            p.grad = torch.ones_like(p)
            optimizer.step()
        found[form] = p.detach().double().mean().item()
    assert found[None] == 1.0
    # The mean of 1e5 numbers that are each off by about 1/256 * sqrt(100/39): a sixth of 1e-3 is six deviations.
    assert found["stochastic"] == pytest.approx(0.99, abs=1.6e-4)


def test_the_number_of_threads_makes_no_difference() -> None:
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(run("AdamW")[1])
    finally:
        torch.set_num_threads(1)
    assert equal(found[0], found[1])
    assert equal(found[0], found[2])


def test_torchs_random_numbers_are_left_alone() -> None:
    own = params()
    optimizer = optim.AdamW(own, weight_format="stochastic")
    state = torch.get_rng_state()
    go_on(optimizer, own, range(3))
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_is_torchs_and_another_gives_other_noise() -> None:
    _, first = run("SGD")
    _, again = run("SGD")
    torch.manual_seed(12)
    own = params()
    other = optim.SGD(own, lr=1e-3, weight_format="stochastic")
    go_on(other, own, range(4))
    assert equal(first, again)
    assert not equal(first, own)


def test_tensors_and_steps_have_noise_of_their_own() -> None:
    pair = [torch.ones(4096, dtype=torch.bfloat16).requires_grad_() for _ in range(2)]
    optimizer = optim.SGD(pair, lr=1e-3, weight_format="stochastic")
    moved = []
    for _ in range(2):
        for p in pair:
            p.data.fill_(1.0)
            p.grad = torch.ones_like(p)
        optimizer.step()
        moved += [p.detach() != 1 for p in pair]
    share = 1e-3 * 256
    for i, one in enumerate(moved):
        assert one.double().mean().item() == pytest.approx(share, abs=0.04)
        for other in moved[:i]:  # independent: both moved in share * share of all
            assert (one & other).double().mean().item() == pytest.approx(share * share, abs=0.04)


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
def test_a_run_goes_on_bit_for_bit(way: str) -> None:
    _, straight = run("AdamW", 6)
    optimizer, own = run("AdamW", 3)
    if way == "state_dict":
        torch.manual_seed(99)
        fresh = [p.detach().clone().requires_grad_() for p in own]
        resumed = optim.AdamW(fresh, lr=1e-3, weight_format="stochastic")
        resumed.load_state_dict(optimizer.state_dict())
    else:
        resumed = copy.deepcopy(optimizer) if way == "deepcopy" else pickle.loads(pickle.dumps(optimizer))
        fresh = resumed.param_groups[0]["params"]
    assert resumed.weight_format == "stochastic"
    go_on(resumed, fresh, range(3, 6))
    assert equal(straight, fresh)


def test_infinities_and_nan_stay_what_they_are() -> None:
    p = torch.zeros(64, dtype=torch.bfloat16).requires_grad_()
    optimizer = optim.SGD([p], lr=1.0, weight_format="stochastic")
    p.grad = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0] * 16).bfloat16()
    optimizer.step()
    assert p.isinf().sum() == 32
    assert p.isnan().sum() == 16
    assert (p == 0).sum() == 16


def test_other_dtypes_are_rounded_to_the_nearest() -> None:
    for dtype in (torch.float32, torch.float64, torch.float16):
        pair = [torch.linspace(-1, 1, 50).to(dtype).requires_grad_() for _ in range(2)]
        for p, form in zip(pair, ("stochastic", None), strict=True):
            p.grad = torch.ones_like(p)
            optim.SGD([p], lr=1e-3, weight_format=form).step()
        assert torch.equal(*pair)


def test_torch_reads_such_a_checkpoint() -> None:
    optimizer, own = run("AdamW")
    theirs = torch.optim.AdamW([p.detach().clone().requires_grad_() for p in own])
    theirs.load_state_dict(optimizer.state_dict())
    assert float(theirs.state_dict()["state"][0]["step"]) == 4


@pytest.mark.parametrize("value", ["Stochastic", "bf16", True, 1])
def test_an_unknown_format_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"weight_format=.* it is None or a name\. .*'?stochastic"):
        optim.AdamW(params(), weight_format=value)
