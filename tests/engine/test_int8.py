"""8-bit states in the engine: both backends alike, checkpoints both ways, what is served and what is not."""

from __future__ import annotations

import copy
import io
import json
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from zerograd.algebra import rule, start
from zerograd.engine import admission
from zerograd.formats.blocks import BMF34, BMF43, UBMF44, scales_key
from zerograd.kernels.eager.blocks import decoded, encode

WEIGHTS = start("p")
SHAPES = ((64, 128), (100, 50), (16, 3, 3, 100), (7,), (4200, 1))


def params(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in SHAPES]


def go_on(optimizer: Any, own: list[Tensor], steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for p in own:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
        optimizer.step()


def run(name: str, steps: int = 4, dtype: torch.dtype = torch.float32, **hypers: Any) -> tuple[Any, list[Tensor]]:
    torch.manual_seed(11)
    own = params(dtype)
    optimizer = getattr(optim, name)(own, lr=1e-2, **{"state_format": "int8", **hypers})
    go_on(optimizer, own, range(steps))
    return optimizer, own


def same(a: tuple[Any, list[Tensor]], b: tuple[Any, list[Tensor]]) -> bool:
    """Parameters and states, bit for bit."""
    states = [[optimizer.state[p] for p in own] for optimizer, own in (a, b)]
    return all(torch.equal(x, y) for x, y in zip(a[1], b[1], strict=True)) and all(
        x.keys() == y.keys() and all(torch.equal(x[key], y[key]) for key in x) for x, y in zip(*states, strict=True)
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("name", "hypers"),
    [("SGD", {"momentum": 0.5}), ("SGD", {"momentum": 0.5, "maximize": True, "clip": 0.1}), ("Lion", {})],
    ids=str,
)
def test_both_backends_give_the_same_bits(
    name: str, hypers: dict[str, Any], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With rules of so few operations that both compute the same numbers before they round."""
    compiled = run(name, dtype=dtype, **hypers)
    assert {row.backend for row in optim.describe(compiled[0]).parameters} == {"compiled kernel"}
    assert compiled[0]._plans
    monkeypatch.setattr(admission, "layout_of", lambda *_: None)
    assert same(compiled, run(name, dtype=dtype, **hypers))


def test_a_state_is_the_exact_one_encoded_by_the_definition() -> None:
    from zerograd.formats.stochastic import noise_key

    optimizer, own = run("SGD", 1, momentum=0.9)
    state = optimizer.state[own[1]]
    codes, scales = torch.zeros_like(state["momentum_buffer"]), torch.zeros(50, 1)
    key = noise_key(optimizer.param_groups[0]["noise_seed"], 1, 1, 1)
    encode(own[1].grad, codes, scales, BMF34, key)  # type: ignore[arg-type]
    assert torch.equal(state["momentum_buffer"], codes)
    assert torch.equal(state[scales_key("momentum_buffer", BMF34)], scales)


def test_neither_threads_nor_neighbours_make_a_difference() -> None:
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(run("AdamW"))
    finally:
        torch.set_num_threads(1)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


@pytest.mark.parametrize("way", ["state_dict", "torch.save", "pickle", "deepcopy"])
def test_a_run_goes_on_bit_for_bit(way: str) -> None:
    straight = run("AdamW", 6, amsgrad=True)
    optimizer, own = run("AdamW", 3, amsgrad=True)
    if way in ("state_dict", "torch.save"):
        torch.manual_seed(99)
        fresh = [p.detach().clone().requires_grad_() for p in own]
        resumed = optim.AdamW(fresh, lr=1e-2, amsgrad=True, state_format="int8")
        saved = optimizer.state_dict()
        if way == "torch.save":
            file = io.BytesIO()
            torch.save(saved, file)
            file.seek(0)
            saved = torch.load(file, weights_only=True)
        resumed.load_state_dict(saved)
    else:
        resumed = copy.deepcopy(optimizer) if way == "deepcopy" else pickle.loads(pickle.dumps(optimizer))
        fresh = resumed.param_groups[0]["params"]
    go_on(resumed, fresh, range(3, 6))
    assert same(straight, (resumed, fresh))


@pytest.mark.parametrize("library", [torch.optim, optim], ids=lambda library: library.__name__)
def test_a_checkpoint_loads_into_plain_optimizers_and_back(library: Any) -> None:
    optimizer, own = run("AdamW")
    saved = optimizer.state_dict()
    exact = decoded(optimizer.state[own[0]]["exp_avg"], optimizer.state[own[0]][scales_key("exp_avg", BMF34)], BMF34)
    fresh = [p.detach().clone().requires_grad_() for p in own]
    plain = library.AdamW(fresh, lr=1e-2)
    plain.load_state_dict(optim.plain_state_dict(saved) if library is torch.optim else saved)
    assert plain.state[fresh[0]].keys() == {"step", "exp_avg", "exp_avg_sq"}
    assert torch.equal(plain.state[fresh[0]]["exp_avg"], exact)
    go_on(plain, fresh, range(4, 6))
    back = optim.AdamW(own, state_format="int8")
    back.load_state_dict(plain.state_dict())
    state = back.state[own[0]]
    assert state["exp_avg"].dtype == state["exp_avg_sq"].dtype == torch.uint8
    again = decoded(state["exp_avg"], state[scales_key("exp_avg", BMF34)], BMF34)
    # Once to the nearest: off by half a step at most, which is a 32nd of the number, or of the scale near zero.
    assert torch.allclose(again, plain.state[fresh[0]]["exp_avg"], rtol=1 / 32, atol=again.abs().max().item() / 2000)
    go_on(back, own, range(6, 8))


def test_groups_of_another_size_are_converted_and_damaged_scales_refused() -> None:
    optimizer, own = run("SGD", momentum=0.9)
    saved = optimizer.state_dict()
    key = scales_key("momentum_buffer", BMF34)
    state = saved["state"][0]
    exact = decoded(state["momentum_buffer"], state[key], BMF34)
    halves = {k: v for k, v in state.items() if k != key} | {
        scales_key("momentum_buffer", BMF34, 64): state[key].repeat_interleave(2, 1)
    }
    optimizer.load_state_dict({**saved, "state": {**saved["state"], 0: halves}})
    held = optimizer.state[own[0]]
    again = decoded(held["momentum_buffer"], held[key], BMF34)
    assert torch.allclose(again, exact, rtol=1 / 32, atol=exact.abs().max().item() / 2000)  # once, to the nearest
    before = copy.deepcopy(optimizer.state_dict())
    cast = {**state, "momentum_buffer": state["momentum_buffer"].float()}  # as torch.optim casts
    for bad, told in (
        ({k: v for k, v in state.items() if k != key}, "scales are missing"),
        (cast, "were cast"),
        ({**state, key: state[key][:5]}, "float32 of shape"),
        ({**{k: v for k, v in state.items() if k != key}, "momentum_buffer_scale_bmf99_128": state[key]}, "not known"),
    ):
        for loads in (optimizer, optim.SGD(own, momentum=0.9)):
            with pytest.raises(ValueError, match=told):
                loads.load_state_dict({**saved, "state": {**saved["state"], 0: bad}})
            assert loads is optimizer or not loads.state
    assert all(torch.equal(v, before["state"][0][k]) for k, v in optimizer.state_dict()["state"][0].items())


def formats(optimizer: Any) -> dict[str, list[str]]:
    return {row.name: [state.format for state in row.states] for row in optim.describe(optimizer).parameters}


def test_small_tensors_vectors_vocabularies_and_other_dtypes_stay_plain() -> None:
    shapes = [(64, 64), (63, 64), (4096,), (1 << 20,), (16_384, 32), (2048, 256), (64, 3, 3, 64)]
    model = [(f"{shape}", torch.empty(shape, requires_grad=True)) for shape in shapes]
    model += [(f"{d}", torch.zeros(64, 128, dtype=d, requires_grad=True)) for d in (torch.float64, torch.complex64)]
    served = {name for name, found in formats(optim.SGD(model, momentum=0.9, state_format="int8")).items()
              if found == ["int8 bmf34"]}  # fmt: skip
    assert served == {"(64, 64)", "(1048576,)", "(2048, 256)", "(64, 3, 3, 64)"}
    everything = optim.Int8(smallest=0, vectors=True, embeddings=True)
    found = formats(optim.SGD(model, momentum=0.9, state_format=everything))
    assert {name for name, f in found.items() if f != ["int8 bmf34"]} == {"torch.float64", "torch.complex64"}


def test_which_states_are_served_is_read_off_the_rule() -> None:
    w = torch.zeros(64, 128, requires_grad=True)

    def of(name: str, **hypers: Any) -> list[str]:
        (found,) = formats(getattr(optim, name)([w], **{"state_format": "int8", **hypers})).values()
        return found

    assert of("AdamW", amsgrad=True) == ["int8 bmf34", "int8 ubmf44", "int8 ubmf44"]
    assert of("AdamW", state_format={"exp_avg": "int8"}) == ["int8 bmf43", "float32"]
    assert of("AdamW", state_format=optim.Int8(wide=True)) == ["int8 bmf43", "int8 ubmf53"]
    assert of("AdamW", state_format="bf16") == ["bfloat16 stochastic"] * 2
    assert of("ASGD") == ["float32"]  # an average of weights
    assert of("ScheduleFreeAdamW") == ["float32", "int8 ubmf44"]  # weights, and squares
    assert of("RMSprop", centered=True) == ["float32", "float32"]  # a difference under a root
    assert of("Muon") == ["int8 bmf34"]


def test_a_users_own_rule_takes_8_bits_too() -> None:
    @rule
    def mine(g: Any, pace: Any = 0.0, size: Any = 0.0, slow: Any = WEIGHTS, *, beta: float = 0.9) -> Any:
        pace = beta * pace + (1 - beta) * g
        size = beta * size + (1 - beta) * abs(g)
        return pace / (size + 1e-8), pace, size, slow

    own = params()
    optimizer = optim.from_rule(mine, lr=1e-2)(own, state_format="int8")
    go_on(optimizer, own, range(3))
    state = optimizer.state[own[0]]
    assert {scales_key("pace", BMF34), scales_key("size", UBMF44)} <= state.keys()
    assert all(p.isfinite().all() for p in own)


def test_tensors_that_do_not_lie_in_one_row_go_the_eager_way() -> None:
    """Groups go by the index, so a transposed parameter has the same codes as its copy that is not."""
    straight = torch.randn(64, 128, generator=torch.Generator().manual_seed(1))
    found = []
    for p in (straight.clone(), straight.t().contiguous().t()):
        torch.manual_seed(3)
        p.requires_grad_()
        optimizer = optim.SGD([p], lr=1e-2, momentum=0.9, state_format="int8")
        go_on(optimizer, [p], range(3))
        found.append((optimizer, [p]))
    assert same(*found)
    assert [row.backend for o, _ in found for row in optim.describe(o).parameters] == [
        "compiled kernel", "torch's operations",
    ]  # fmt: skip


def test_a_poisoned_group_is_named_and_stays_alone() -> None:
    """The gradient is finite, its square is not."""
    named = [("first", torch.zeros(64, 128, requires_grad=True)), ("second", torch.zeros(64, 128, requires_grad=True))]
    optimizer = optim.Adam(named, state_format="int8", nonfinite="raise")
    for _, p in named:
        p.grad = torch.ones_like(p)
    named[1][1].grad[3, 5] = 1e25  # type: ignore[index]
    optimizer.step()
    before = [p.detach().clone() for _, p in named]
    for _, p in named:
        p.grad = torch.ones_like(p)
    with pytest.raises(RuntimeError, match=r"exp_avg_sq of second \(1 group\)"):
        optimizer.step()
    assert all(torch.equal(p, b) for (_, p), b in zip(named, before, strict=True))
    optimizer.nonfinite = "propagate"
    optimizer.step()
    lost = named[1][1].isnan()
    assert lost[3].all()
    assert lost.sum() == 128


def test_groups_may_differ_and_come_later() -> None:
    own = params()
    optimizer = optim.AdamW([{"params": own[:1], "state_format": "int8"}, {"params": own[1:2]}])
    optimizer.add_param_group({"params": own[2:3], "state_format": {"exp_avg": "bf16"}})
    go_on(optimizer, own[:3], range(3))
    dtypes = [[optimizer.state[p][name].dtype for name in ("exp_avg", "exp_avg_sq")] for p in own[:3]]
    assert dtypes == [[torch.uint8] * 2, [torch.float32] * 2, [torch.bfloat16, torch.float32]]
    with pytest.raises(ValueError, match="'int9'"):
        optimizer.add_param_group({"params": own[3:4], "state_format": "int9"})


def test_matrices_take_little_more_than_two_bytes_an_element() -> None:
    optimizer, own = run("AdamW", 1)
    state = optimizer.state[own[0]]
    size = sum(t.numel() * t.element_size() for name, t in state.items() if name != "step")
    assert size / own[0].numel() == 2 * (1 + 4 / 128)
    told = optim.describe(optimizer)
    assert told.parameters[0].states[0].bytes + told.parameters[0].states[1].bytes == size
    assert json.loads(json.dumps(told.as_object()))["state_bytes"] == told.state_bytes
    assert "int8 ubmf44" in str(told)
    assert "exp_avg: int8 bmf34 (4), float32 (1)" in repr(optimizer)


@pytest.mark.parametrize(
    ("value", "error", "told"),
    [("int4", ValueError, "'int8'"), ({"exp_av": "int8"}, ValueError, "exp_avg"), (8, TypeError, "mapping")],
)
def test_formats_that_there_are_not(value: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        optim.AdamW(params(), state_format=value)


@pytest.mark.parametrize("option", [{"smallest": "4096"}, {"smallest": True}, {"wide": 1}, {"signed": "no"}], ids=repr)
def test_options_of_another_type_are_refused_where_they_are_given(option: dict[str, Any]) -> None:
    ((name, value),) = option.items()
    with pytest.raises(TypeError, match=f"{name}={value!r}"):
        optim.Int8(**option)


def test_wide_first_moments_have_a_format_of_their_own() -> None:
    optimizer, own = run("AdamW", state_format={"exp_avg": "int8"})
    assert scales_key("exp_avg", BMF43) in optimizer.state[own[0]]
