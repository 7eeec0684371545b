"""Law: a run that changes the library halfway ends where it would have ended without the change."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from laws.table import DENSE, TORCH, Config, Row, cases, label
from loading.runs import copied, go_on, named, through_a_file, values

KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
    "capturable": {},
    "maximize": {"maximize": True},
    "tensor lr": {"lr": torch.tensor(0.01)},
}
ONLY = {"fused": {"SGD", "Adam", "AdamW", "Adagrad"}, "capturable": {row.name for row in TORCH} - {"SGD", "Adagrad"}}
"""The classes for which torch has the implementation."""
LIBRARIES = {"torch": torch.optim, "zerograd": optim}
CHANGES = [("torch", "zerograd"), ("zerograd", "torch")]
SHARED = [row for row in TORCH if row in DENSE]

by_change = pytest.mark.parametrize("change", CHANGES, ids="-".join)


def switched(
    name: str, change: tuple[str, str], dtype: torch.dtype, hypers: Config, capturable: bool = False
) -> tuple[list[Tensor], list[Tensor]]:
    """(the run that stayed, the run that changed) after four more steps.

    capturable: the checkpoint says so; torch steps in this mode on accelerators only, so the run itself does not.
    """
    first, second = (getattr(LIBRARIES[library], name) for library in change)
    params = named(dtype)
    one = first(list(params.values()), **hypers)
    go_on(one, params, range(4))
    others = copied(params)
    other = second(list(others.values()), **hypers)
    saved = through_a_file(one.state_dict())
    if capturable:
        saved["param_groups"][0]["capturable"] = True
    other.load_state_dict(saved)
    for group in other.param_groups:
        assert group.get("capturable", False) is capturable
        if change[1] == "torch":
            group["capturable"] = False
    go_on(one, params, range(4, 8))
    go_on(other, others, range(4, 8))
    return values(params), values(others)


@by_change
@pytest.mark.parametrize("case", list(cases(SHARED)), ids=label)
@pytest.mark.usefixtures("double")
def test_every_configuration_goes_on_in_the_other_library(case: tuple[Row, Config], change: tuple[str, str]) -> None:
    row, config = case
    stayed, changed = switched(row.name, change, torch.float64, config)
    # The libraries order their float64 operations differently in four steps, and RMSprop's centered difference cancels.
    torch.testing.assert_close(changed, stayed, rtol=1e-10, atol=1e-12)


@by_change
@pytest.mark.parametrize(
    ("name", "kind"), [(row.name, kind) for row in SHARED for kind in KINDS if row.name in ONLY.get(kind, {row.name})]
)
def test_every_kind_goes_on_in_the_other_library(name: str, kind: str, change: tuple[str, str]) -> None:
    dtype = torch.float64 if kind == "tensor lr" else torch.float32
    stayed, changed = switched(name, change, dtype, KINDS[kind], kind == "capturable")
    # float32: a few units in the last place from the order of operations in each of four steps.
    torch.testing.assert_close(changed, stayed, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("row", SHARED, ids=lambda row: row.name)
def test_what_is_saved_has_the_keys_and_kinds_of_torchs(row: Row) -> None:
    saved = {}
    for library, module in LIBRARIES.items():
        params = named()
        optimizer = getattr(module, row.name)(params.items(), **row.configs[-1])
        go_on(optimizer, params, range(2))
        saved[library] = optimizer.state_dict()
    theirs, ours = saved["torch"], saved["zerograd"]
    for mine, group in zip(ours["param_groups"], theirs["param_groups"], strict=True):
        assert {k: (type(v), v) for k, v in mine.items()} == {k: (type(v), v) for k, v in group.items()}
    assert ours["state"].keys() == theirs["state"].keys()
    for number, state in theirs["state"].items():
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in ours["state"][number].items()}


@pytest.mark.parametrize("row", SHARED, ids=lambda row: row.name)
def test_options_that_an_older_torch_did_not_save_are_kept(row: Row) -> None:
    params = named()
    old = getattr(torch.optim, row.name)(list(params.values()))
    go_on(old, params, range(2))
    saved = old.state_dict()
    for key in ("maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"):
        saved["param_groups"][0].pop(key, None)
    optimizer = getattr(optim, row.name)([{"params": list(params.values()), "mine": 7}], maximize=True)
    before = dict(optimizer.param_groups[0])
    optimizer.load_state_dict(saved)
    assert {k: v for k, v in optimizer.param_groups[0].items() if k != "params"} == {
        **{k: v for k, v in before.items() if k != "params"},
        **{k: v for k, v in saved["param_groups"][0].items() if k != "params"},
    }


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_momentum_that_torch_kept_sparse_goes_on(nesterov: bool) -> None:
    def given(step: int) -> torch.Tensor:
        values = torch.randn(3, 2, generator=torch.Generator().manual_seed(step))
        return torch.sparse_coo_tensor([[0, 2, 2]], values, (5, 2), check_invariants=True)

    theirs, mine = (torch.ones(5, 2, requires_grad=True) for _ in range(2))
    old, new = (m.SGD([p], lr=0.1, momentum=0.9, nesterov=nesterov) for m, p in ((torch.optim, theirs), (optim, mine)))
    theirs.grad = given(0)
    old.step()
    assert old.state[theirs]["momentum_buffer"].is_sparse
    new.load_state_dict(old.state_dict())
    mine.data.copy_(theirs.data)
    theirs.grad, mine.grad = given(1), given(1)
    old.step()
    new.step()
    torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-7)  # float32, one step: an ulp or two


def test_torchs_empty_momentum_is_no_momentum() -> None:
    params = named()
    old = torch.optim.SGD(list(params.values()), lr=0.1)
    go_on(old, params, range(2))
    saved = old.state_dict()
    saved["state"] = {i: {"momentum_buffer": None} for i in range(len(params))}  # as torch wrote it for years
    runs = []
    for module in LIBRARIES.values():
        mine = copied(params)
        optimizer = module.SGD(list(mine.values()), lr=0.1)
        optimizer.load_state_dict(copy.deepcopy(saved))
        optimizer.param_groups[0]["momentum"] = 0.9
        go_on(optimizer, mine, range(2, 4))
        runs.append(values(mine))
    # float32, two steps: an ulp or two.
    torch.testing.assert_close(*runs, rtol=1e-6, atol=1e-7)


@by_change
@pytest.mark.parametrize("names", [("Adam", "AdamW"), ("AdamW", "Adam")], ids="-".join)
def test_a_checkpoint_of_the_sister_class_decays_as_in_torch(names: tuple[str, str], change: tuple[str, str]) -> None:
    """torch's groups say by a key how they decay, and AdamW's class overrides it."""
    source = getattr(LIBRARIES[change[0]], names[0])
    runs = []
    for module in LIBRARIES.values():
        params = named(torch.float64)
        first = source(list(params.values()), weight_decay=0.5, lr=0.1)
        go_on(first, params, range(2))
        second = getattr(module, names[1])(list(params.values()))
        second.load_state_dict(first.state_dict())
        go_on(second, params, range(2, 5))
        assert second.param_groups[0]["decoupled_weight_decay"] is True
        runs.append(values(params))
    # float64 parameters with torch's float32 step counts: exact numbers; the rest is the order of operations.
    torch.testing.assert_close(*runs, rtol=1e-10, atol=1e-12)


def test_a_difference_would_be_seen() -> None:
    """The tolerances above are no blindfold: a lost state is far outside of them."""
    params = named()
    one = optim.AdamW(list(params.values()))
    go_on(one, params, range(4))
    others = copied(params)
    other = optim.AdamW(list(others.values()))
    go_on(one, params, range(4, 8))
    go_on(other, others, range(4, 8))
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(values(params), values(others), strict=True))


def saved_and_loaded(pair: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(pair, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


COPIES: dict[str, Callable[[Any], Any]] = {"torch.save": saved_and_loaded, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("steps", [0, 2])
def test_a_copy_has_every_public_attribute(how: str, steps: int) -> None:
    params = named()
    optimizer = optim.AdamW(params.items(), clip=1.0)
    go_on(optimizer, params, range(steps))
    twin, _ = COPIES[how]((optimizer, params))
    public = {key: value for key, value in vars(optimizer).items() if key[0] != "_"}
    assert {key for key in vars(twin) if key[0] != "_"} == public.keys()
    assert {key: vars(twin)[key] for key in public.keys() - {"state", "param_groups"}} == {
        key: public[key] for key in public.keys() - {"state", "param_groups"}
    }


@pytest.mark.parametrize("kind", [float, int])
@pytest.mark.parametrize("row", SHARED, ids=lambda row: row.name)
def test_step_counts_that_are_plain_numbers_are_taken(row: Row, kind: type) -> None:
    """As checkpoints of torch before 1.12 have them."""
    params = named()
    one = getattr(torch.optim, row.name)(list(params.values()), foreach=False)
    go_on(one, params, range(3))
    saved = copy.deepcopy(one.state_dict())
    for state in saved["state"].values():
        if "step" in state:
            state["step"] = kind(state["step"])
    others = copied(params)
    other = getattr(optim, row.name)(list(others.values()))
    other.load_state_dict(saved)
    go_on(one, params, range(3, 5))
    go_on(other, others, range(3, 5))
    # float32: a few units in the last place from the order of operations in two steps.
    torch.testing.assert_close(values(others), values(params), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("row", SHARED, ids=lambda row: row.name)
def test_the_whole_optimizer_is_saved_and_goes_on(row: Row, how: str) -> None:
    params = named()
    optimizer = getattr(optim, row.name)(params.items(), **row.configs[-1])
    go_on(optimizer, params, range(3))
    twin, twins = COPIES[how]((optimizer, params))
    assert type(twin) is type(optimizer)
    go_on(optimizer, params, range(3, 6))
    go_on(twin, twins, range(3, 6))
    assert all(map(torch.equal, values(params), values(twins)))
