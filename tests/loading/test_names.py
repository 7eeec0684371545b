"""Parameters that have names on both sides are paired by them; what does not fit is refused, by name, or left out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

import zerograd as optim
from loading.runs import SHAPES, copied, go_on, held, named, same, values

ALL = list(SHAPES)


def groups_of(params: dict[str, Any], split: Sequence[Sequence[str]], **options: Any) -> list[dict[str, Any]]:
    """Groups of named parameters; an empty one says itself that it has names."""
    groups = [{"params": [(name, params[name]) for name in names], **options} for names in split]
    for group in groups:
        if not group["params"]:
            group["param_names"] = []
    return groups


def saved_after(steps: int, split: Sequence[Sequence[str]] = (ALL,), **hypers: Any) -> tuple[Any, Any, Any]:
    params = named()
    optimizer = optim.AdamW(groups_of(params, split), **hypers)
    go_on(optimizer, params, range(steps))
    return optimizer, params, copy.deepcopy(optimizer.state_dict())


SPLITS = {
    "another order": [ALL[::-1]],
    "one group into two": [ALL[2:], ALL[:2]],
    "a group for each": [[name] for name in reversed(ALL)],
    "an empty group": [ALL, []],
}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
def test_order_and_groups_may_differ(split: list[list[str]]) -> None:
    one, params, saved = saved_after(3, lr=0.1)
    others = copied(params)
    other = optim.AdamW(groups_of(others, split), lr=0.5)
    other.load_state_dict(saved)
    assert [group["lr"] for group in other.param_groups if group["params"]] == [0.1] * sum(map(bool, split))
    assert [group["param_names"] for group in other.param_groups if group["params"]] == [s for s in split if s]
    assert same(held(one, params), held(other, others))
    go_on(one, params, range(3, 6))
    go_on(other, others, range(3, 6))
    assert all(map(torch.equal, values(params), values(others)))


def test_groups_that_agree_may_be_joined() -> None:
    one, params, saved = saved_after(3, [ALL[:1], ALL[1:]], lr=0.1)
    others = copied(params)
    other = optim.AdamW(others.items())
    other.load_state_dict(saved)
    go_on(one, params, range(3, 6))
    go_on(other, others, range(3, 6))
    assert all(map(torch.equal, values(params), values(others)))


def test_groups_that_do_not_agree_are_not_joined() -> None:
    *_, saved = saved_after(3, [ALL[:1], ALL[1:]])
    saved["param_groups"][1]["weight_decay"] = 0.5
    unchanged_by(saved, r"(?s)groups 0 and 1 of the checkpoint, whose weight_decay differ: 0.01 and 0.5.*Nothing was")


def unchanged_by(saved: Any, words: str, kind: type[Exception] = ValueError, **shapes: tuple[int, ...]) -> None:
    """Loading is refused in these words, and neither state nor groups were touched."""
    params = named()
    for name, shape in shapes.items():
        params[name] = torch.zeros(shape, requires_grad=True)
    optimizer = optim.AdamW(params.items())
    go_on(optimizer, params, range(2))
    before, groups = held(optimizer, params), [dict(group) for group in optimizer.param_groups]
    with pytest.raises(kind, match=words):
        optimizer.load_state_dict(saved)
    assert same(before, held(optimizer, params))
    assert optimizer.param_groups == groups
    go_on(optimizer, params, range(2, 4))


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "module._orig_mod."])
def test_the_names_of_wrappers_do_not_count(wrapper: str) -> None:
    """DistributedDataParallel and torch.compile."""
    params = named()
    wrapped = optim.AdamW([(wrapper + name, p) for name, p in params.items()])
    go_on(wrapped, params, range(3))
    others = copied(params)
    plain = optim.AdamW([(name, others[name]) for name in reversed(ALL)])
    plain.load_state_dict(copy.deepcopy(wrapped.state_dict()))
    assert same(held(wrapped, params), held(plain, others))
    assert plain.param_groups[0]["param_names"] == ALL[::-1]


@pytest.mark.parametrize("side", ["saved", "own"])
def test_names_on_one_side_only_are_no_obstacle(side: str) -> None:
    """As in torch: by position, and the names of the side that has them."""
    params, others = named(), named()
    one = optim.AdamW(params.items() if side == "saved" else list(params.values()))
    other = optim.AdamW(list(others.values()) if side == "saved" else others.items())
    go_on(one, params, range(3))
    other.load_state_dict(one.state_dict())
    assert same(held(one, params), held(other, others))
    assert other.param_groups[0]["param_names"] == ALL


def test_names_with_nothing_in_common_go_by_position_as_in_torch() -> None:
    runs = []
    for module in (torch.optim, optim):
        params, others = named(), named()
        one = module.AdamW([(f"encoder.{name}", p) for name, p in params.items()])
        go_on(one, params, range(3))
        other = module.AdamW(others.items())
        other.load_state_dict(one.state_dict())
        runs.append((other.param_groups[0]["param_names"], [float(other.state[p]["step"]) for p in others.values()]))
    assert runs[0] == runs[1]


def renamed(saved: Any, old: str, new: str) -> Any:
    (group,) = saved["param_groups"]
    group["param_names"] = [new if name == old else name for name in group["param_names"]]
    return saved


def without_second_moment(saved: Any) -> Any:
    for state in saved["state"].values():
        del state["exp_avg_sq"]
    return saved


def of_sgd(_: Any) -> Any:
    params = named()
    optimizer = optim.SGD(params.items(), momentum=0.9)
    go_on(optimizer, params, range(2))
    return optimizer.state_dict()


BROKEN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "renamed": (lambda s: renamed(s, "scale", "gain"), r"(?s)missing in the checkpoint: scale\..*unexpected .*: gain"),
    "no second moment": (without_second_moment, r"missing in the checkpoint: fc.weight.exp_avg_sq, fc.bias.exp_avg_sq"),
    "another class": (of_sgd, r"(?s)missing.*fc.weight.exp_avg, .*unexpected .*: fc.weight.momentum_buffer, "),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_does_not_fit_is_listed_by_name_and_nothing_changes(what: str) -> None:
    breaking, words = BROKEN[what]
    unchanged_by(breaking(saved_after(3)[2]), words)


def test_a_changed_layer_is_refused_with_both_shapes() -> None:
    words = r"wrong shape: fc.bias.exp_avg is \(3,\), here it must be \(5,\)"
    unchanged_by(saved_after(3)[2], words, **{"fc.bias": (5,)})


def test_a_step_count_that_is_many_numbers_is_refused() -> None:
    saved = saved_after(3)[2]
    saved["state"][1]["step"] = torch.ones(3)
    unchanged_by(saved, r"wrong shape: fc.bias.step is \(3,\), here it must be \(\)")


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ([ALL[:2], ALL[2:]], "loaded state dict has a different number of parameter groups: 2, and .* has 1"),
        ([ALL[:2]], "parameter group that doesn't match the size of optimizer's group: group 0 has 2 .* and 4 in"),
    ],
    ids=["groups", "parameters"],
)
def test_other_numbers_are_refused_in_torchs_words(split: list[list[str]], words: str) -> None:
    saved = saved_after(2, split)[2]
    for group in saved["param_groups"]:
        del group["param_names"]
    theirs = torch.optim.AdamW(list(named().values()))
    with pytest.raises(ValueError) as error:
        theirs.load_state_dict(copy.deepcopy(saved))
    unchanged_by(saved, words)
    with pytest.raises(ValueError, match=str(error.value)):
        optim.AdamW(list(named().values())).load_state_dict(saved)


def test_a_whole_checkpoint_in_the_place_of_its_part_is_told() -> None:
    saved = {"model": {}, "optimizer": saved_after(2)[2]}
    unchanged_by(saved, "'state' is missing, there is 'model', 'optimizer'; pass the part", KeyError)
    unchanged_by(None, "takes what state_dict.. gave, a dictionary, not NoneType", TypeError)


# ------------------------------------------------------------------------------------------------- strict=False


def test_what_fits_is_loaded_and_the_rest_is_reported() -> None:
    one, params, saved = saved_after(3, lr=0.1)
    renamed(saved, "scale", "gain")
    others = copied(params)
    others["fc.bias"] = torch.zeros(5, requires_grad=True)
    other = optim.AdamW(others.items(), lr=0.5)
    go_on(other, others, range(1))
    before = held(other, others)
    report = other.load_state_dict(saved, strict=False)
    missing, unexpected = report  # a pair, as a module's
    assert missing == ["scale"]
    assert unexpected == ["gain"]
    five, three = torch.Size([5]), torch.Size([3])
    assert report.mismatched_keys == [("fc.bias.exp_avg", three, five), ("fc.bias.exp_avg_sq", three, five)]
    assert "mismatched_keys" in repr(report)
    assert other.param_groups[0]["lr"] == 0.1
    theirs, after = held(one, params), held(other, others)
    for key, value in after.items():
        expected = before if key.startswith(("scale", "fc.bias")) else theirs
        assert torch.equal(value, expected[key]), key
    go_on(other, others, range(1, 3))


def test_all_that_fits_is_reported_as_a_module_does() -> None:
    one, params, saved = saved_after(2)
    other = optim.AdamW(params.items())
    report = other.load_state_dict(saved, strict=False)
    assert not report
    assert repr(report) == repr(torch.nn.Linear(1, 1).load_state_dict(torch.nn.Linear(1, 1).state_dict()))
    assert other.load_state_dict(saved) is None  # as torch
    assert same(held(one, params), held(other, params))


def test_by_position_more_or_fewer_parameters_are_loaded_as_far_as_they_go() -> None:
    params = named()
    one = optim.AdamW(list(params.values()))
    go_on(one, params, range(3))
    saved = one.state_dict()
    few = optim.AdamW(list(named().values())[:2])
    assert few.load_state_dict(saved, strict=False) == ([], ["2", "3"])
    more = optim.AdamW([*named().values(), torch.zeros(2, requires_grad=True)])
    assert more.load_state_dict(saved, strict=False) == (["4"], [])
    assert [len(more.state[p]) for p in more.param_groups[0]["params"] if p in more.state] == [3] * 4


def test_the_rest_is_not_positional() -> None:
    one, *_ = saved_after(2)
    with pytest.raises(TypeError):
        one.load_state_dict(one.state_dict(), False)
