"""Law: Muon, Adafactor and SparseAdam do what torch's classes of these names do, in any dtype and with any flags."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from laws.table import Config, grid
from matrix.worlds import SHAPES, give, needs_muon, ours, parameters, run, torchs

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]

EITHER = [False, True]
CONFIGS: dict[str, list[Config]] = {
    "Muon": [
        *grid(lr=[0.05], momentum=[0.95, 0.5], nesterov=EITHER, weight_decay=[0.0, 0.1]),
        *grid(adjust_lr_fn=["original", "match_rms_adamw"], ns_steps=[5, 2, 0], eps=[1e-7, 100.0]),
        {"lr": torch.tensor(0.05, dtype=torch.float64), "ns_coefficients": (2.0, -1.5, 0.5)},
    ],
    "Adafactor": [
        *grid(lr=[0.05], beta2_decay=[-0.8, -0.3], d=[1.0, 1.5], weight_decay=[0.0, 0.1], maximize=EITHER),
        *grid(eps=[(None, 1e-3), (1e-3, 0.5), (0.5, 1e-3)], foreach=EITHER),
        {"lr": torch.tensor([0.05], dtype=torch.float64)},
    ],
    "SparseAdam": [
        *grid(lr=[0.05], betas=[(0.9, 0.999), (0.5, 0.6)], eps=[1e-8, 1e-2], maximize=EITHER),
        {"lr": torch.tensor(0.05, dtype=torch.float64)},
    ],
}
CASES = [(name, config) for name, configs in CONFIGS.items() for config in configs]

STEPS = 7
HALF = {torch.bfloat16: 2**-7, torch.float16: 2**-10}
"""The distance of neighbouring numbers at 1."""


@pytest.fixture(autouse=True)
def _torch_has_it(request: pytest.FixtureRequest) -> None:
    case = getattr(request.node, "callspec", None)
    text = str(case.params) if case else ""
    if ("Muon" in text or "muon" in request.node.name) and not hasattr(torch.optim, "Muon"):
        pytest.skip(needs_muon)


def label(case: Any) -> str:
    return "-".join([case[0], *(f"{k}={v}" for k, v in case[1].items())])


def tolerance(name: str, dtype: torch.dtype) -> dict[str, float]:
    """All but Muon round in another order, or once where torch does twice.

    Muon's operations are torch's, and the results its bits, with one exception. torch multiplies small matrices (up to
    16^3 products) by a loop of its own, a stack of them by the library of the large ones; the float32 sums of both
    differ in their order. About one matrix of 16 by 16 in 160 then has a product rounded to the other neighbour in
    bfloat16, and the iteration makes two units, 2^-7 of a step of 0.05, of it. Twice that is allowed, and with weights
    of 16 bits one unit more of the weight itself.
    """
    if name == "Muon":
        return {"rtol": HALF.get(dtype, 0.0), "atol": 0.05 * 2**-6}
    if dtype in HALF:
        return {"rtol": 4 * HALF[dtype], "atol": 8 * HALF[dtype]}
    eps = torch.finfo(dtype).eps
    return {"rtol": 100 * eps, "atol": 100 * eps}


def near(name: str) -> dict[str, float]:
    """A hundred roundings of float32; Muon as above, at the largest learning rate of these runs, 0.2."""
    return {"rtol": 0.0, "atol": 0.2 * 2**-6} if name == "Muon" else {"rtol": 1e-5, "atol": 1e-5}


def alike(theirs: Any, mine: Any, params: list[Tensor], twins: list[Tensor], **tolerances: float) -> None:
    """Parameters and states, names and dtypes too."""
    torch.testing.assert_close(twins, params, **tolerances)
    for p, q in zip(params, twins, strict=True):
        one, other = theirs.state.get(p, {}), mine.state.get(q, {})
        assert one.keys() == other.keys()
        for key in one:
            wanted, got = torch.as_tensor(one[key]), torch.as_tensor(other[key])
            assert key == "step" or (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
            torch.testing.assert_close(got.double(), wanted.double(), **tolerances)


@pytest.mark.parametrize(
    ("case", "dtype"),
    [(case, dtype) for case in CASES for dtype in DTYPES if (case[0], dtype) != ("SparseAdam", torch.float16)],
    ids=lambda value: str(value) if isinstance(value, torch.dtype) else label(value),
)
def test_a_run_is_torchs(case: tuple[str, Config], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    # SparseAdam's squares vanish in float16 in torch's own arithmetic; see the laws of precision for ours.
    name, config = case
    if name == "Muon" and dtype == torch.bfloat16 and not config.get("nesterov", True):
        # torch (2.13) divides the momentum itself by its norm then, for bfloat16() is no copy of a bfloat16 tensor.
        monkeypatch.setattr(Tensor, "bfloat16", lambda t: t.to(torch.bfloat16, copy=True))
    params, twins = parameters(name, dtype), parameters(name, dtype)
    theirs, mine = torchs(name)(params, **config), ours(name)(twins, **config)
    run(theirs, params, name, range(STEPS))
    run(mine, twins, name, range(STEPS))
    alike(theirs, mine, params, twins, **tolerance(name, dtype))


@pytest.mark.parametrize("name", SHAPES)
def test_muon_is_torchs_bit_for_bit_and_the_others_nearly(name: str) -> None:
    params, twins = parameters(name), parameters(name)
    theirs, mine = torchs(name)(params, lr=0.05), ours(name)(twins, lr=0.05)
    run(theirs, params, name, range(STEPS))
    run(mine, twins, name, range(STEPS))
    if name == "Muon":
        alone = [i for i, p in enumerate(params) if p.numel() > 65_536]
        assert alone
        assert all(torch.equal(params[i], twins[i]) for i in alone), "large ones are computed one by one, as torch's"
    torch.testing.assert_close(twins, params, **near(name))


def through_a_file(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("to_ours", [True, False], ids=["from torch", "to torch"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_checkpoint_goes_on_in_the_other_class(name: str, to_ours: bool) -> None:
    first, second = (torchs(name), ours(name)) if to_ours else (ours(name), torchs(name))
    params, twins = parameters(name), parameters(name)
    reference = torchs(name)(params, lr=0.05)
    run(reference, params, name, range(8))
    before = first(twins, lr=0.05)
    run(before, twins, name, range(4))
    after = second(twins, lr=1.0)
    after.load_state_dict(through_a_file(before.state_dict()))
    run(after, twins, name, range(4, 8))
    torch.testing.assert_close(twins, params, **near(name))


@pytest.mark.parametrize("name", SHAPES)
def test_a_checkpoint_has_torchs_kinds(name: str) -> None:
    """SparseAdam counts in whole numbers: its corrections would be those of float32 otherwise."""
    params, twins = parameters(name), parameters(name)
    theirs, mine = torchs(name)(params), ours(name)(twins)
    run(theirs, params, name, range(3))
    run(mine, twins, name, range(3))
    wanted, got = theirs.state_dict(), mine.state_dict()
    assert got["param_groups"] == wanted["param_groups"]
    assert got["state"].keys() == wanted["state"].keys()
    for index, held in wanted["state"].items():
        kinds = {key: (type(value), getattr(value, "dtype", None)) for key, value in held.items()}
        assert {k: (type(v), getattr(v, "dtype", None)) for k, v in got["state"][index].items()} == kinds


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))], ids=["copy", "pickle"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_copy_goes_on_as_the_original_would(name: str, duplicate: Callable[[Any], Any]) -> None:
    params = parameters(name)
    optimizer = ours(name)(params, lr=0.05)
    run(optimizer, params, name, range(4))
    twin = duplicate(optimizer)
    twins = twin.param_groups[0]["params"]
    run(optimizer, params, name, range(4, 8))
    run(twin, twins, name, range(4, 8))
    assert all(map(torch.equal, params, twins))


@pytest.mark.parametrize("name", SHAPES)
def test_schedulers_named_parameters_and_a_group_that_comes_late(name: str) -> None:
    finals = []
    for kind in (torchs(name), ours(name)):
        params = parameters(name)
        names = [(f"layer.{i}", p) for i, p in enumerate(params)]
        optimizer = kind(names[:2], lr=0.05)
        optimizer.add_param_group({"params": names[2:], "lr": 0.2})
        scheduler = optim.lr_scheduler.StepLR(optimizer, 2, gamma=0.5)
        for step in range(6):
            give(params, step, name)
            optimizer.step()
            scheduler.step()
        assert optimizer.state_dict()["param_groups"][1]["param_names"][0] == "layer.2"
        finals.append(params)
    torch.testing.assert_close(*finals, **near(name))


@pytest.mark.parametrize("name", SHAPES)
def test_a_closure_and_hooks(name: str) -> None:
    params = parameters(name)
    optimizer, seen = ours(name)(params), []
    optimizer.register_step_pre_hook(lambda *_: seen.append("before"))
    optimizer.register_step_post_hook(lambda *_: seen.append("after"))

    def closure() -> float:
        assert torch.is_grad_enabled()
        give(params, 3, name)
        return 0.5

    assert optimizer.step(closure) == 0.5
    assert seen == ["before", "after"]


def test_one_bad_element_of_a_vector_spoils_no_other() -> None:
    finals = []
    for kind in (torch.optim.Adafactor, optim.Adafactor):
        params = [torch.ones(4).requires_grad_() for _ in range(2)]
        params[0].grad, params[1].grad = torch.tensor([1.0, float("nan"), 2.0, 3.0]), torch.ones(4)
        kind(params).step()
        finals.append(params)
    torch.testing.assert_close(finals[1], finals[0], equal_nan=True)
    assert finals[1][0].isnan().sum() == 1


@pytest.mark.parametrize("shape", [(2, 3), (3, 5), (5, 3), (1, 7), (7, 1), (9, 12), (17, 17), (32, 96), (96, 32)])
def test_stacks_of_muon_have_torchs_bits(shape: tuple[int, int]) -> None:
    """Shapes on both sides of torch's limits; 16 by 16 lies between them, see ``tolerance``."""
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("without instructions for bfloat16 torch multiplies stacks and matrices by loops of its own")
    finals = []
    for kind in (torch.optim.Muon, optim.Muon):
        generator = torch.Generator().manual_seed(0)
        params = [torch.randn(shape, generator=generator).requires_grad_() for _ in range(4)]
        optimizer = kind(params, lr=0.05)
        for _ in range(10):
            for p in params:
                p.grad = torch.randn(shape, generator=generator)
            optimizer.step()
        finals.append(params)
    assert all(map(torch.equal, *finals))
