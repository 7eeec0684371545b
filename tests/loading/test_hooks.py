"""Hooks of saving and loading fire once, in torch's order, and see what torch shows them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

import zerograd as optim
from loading.runs import go_on, named


def told_by(module: ModuleType) -> list[Any]:
    """What a set of hooks notes while an optimizer is saved and loaded."""
    notes: list[Any] = []
    params = named()
    optimizer = module.AdamW(list(params.values()), lr=0.1)
    go_on(optimizer, params, range(2))

    def facts(state_dict: Any) -> Any:
        kinds = {k: {name: str(v.dtype) for name, v in held.items()} for k, held in state_dict["state"].items()}
        return sorted(state_dict), kinds, state_dict["param_groups"][0]["lr"], state_dict["param_groups"][0]["params"]

    def before_saving(name: str) -> Any:
        return lambda one: notes.append((name, one is optimizer))

    def after_saving(name: str) -> Any:
        def hook(one: Any, state_dict: Any) -> Any:
            notes.append((name, one is optimizer, facts(state_dict), state_dict.get("mark")))
            return {**state_dict, "mark": name}

        return hook

    def before_loading(name: str) -> Any:
        def hook(one: Any, state_dict: Any) -> Any:
            notes.append((name, one is optimizer, facts(state_dict), state_dict.get("mark"), one.param_groups[0]["lr"]))
            changed = [{**group, "lr": group["lr"] * 2} for group in state_dict["param_groups"]]
            return {**state_dict, "param_groups": changed, "mark": name}

        return hook

    def after_loading(name: str) -> Any:
        keys = ("lr", "mine", "weight_decay")
        return lambda one: notes.append((name, one is optimizer, [one.param_groups[0].get(key) for key in keys]))

    for name, prepend in (("first", False), ("second", False), ("prepended", True)):
        optimizer.register_state_dict_pre_hook(before_saving(f"before saving, {name}"), prepend=prepend)
        optimizer.register_state_dict_post_hook(after_saving(f"after saving, {name}"), prepend=prepend)
        optimizer.register_load_state_dict_pre_hook(before_loading(f"before loading, {name}"), prepend=prepend)
        optimizer.register_load_state_dict_post_hook(after_loading(f"after loading, {name}"), prepend=prepend)
    saved = optimizer.state_dict()
    optimizer.load_state_dict(saved)
    notes.append(saved["param_groups"][0]["lr"])
    return notes


def test_hooks_fire_once_in_torchs_order_and_see_the_same() -> None:
    theirs = told_by(torch.optim)
    assert len(theirs) == 13
    assert told_by(optim) == theirs


def test_a_hook_after_loading_sees_the_groups_as_they_stay() -> None:
    optimizer = optim.AdamW([{"params": list(named().values()), "mine": 7}])
    saved = optimizer.state_dict()
    del saved["param_groups"][0]["mine"]
    seen: list[Any] = []
    optimizer.register_load_state_dict_post_hook(lambda one: seen.append(one.param_groups[0]["mine"]))
    optimizer.load_state_dict(saved)
    assert seen == [7]


def test_a_hook_may_fit_a_checkpoint_to_the_model() -> None:
    """The cure that errors name, and the use that torch's documentation shows."""
    params = named()
    old = optim.AdamW([(f"old.{name}" if name == "scale" else name, p) for name, p in params.items()])
    go_on(old, params, range(2))
    new = optim.AdamW(named().items())
    with pytest.raises(ValueError, match=r"unexpected in the checkpoint: old\.scale"):
        new.load_state_dict(old.state_dict())

    def rename(_: Any, state_dict: Any) -> None:
        for group in state_dict["param_groups"]:
            group["param_names"] = [name.removeprefix("old.") for name in group["param_names"]]

    new.register_load_state_dict_pre_hook(rename)
    new.load_state_dict(old.state_dict())
    assert [float(new.state[p]["step"]) for p in new.param_groups[0]["params"]] == [2.0] * 4


def test_a_hook_that_fails_leaves_the_optimizer_as_it_was() -> None:
    params = named()
    optimizer = optim.AdamW(params.items())
    go_on(optimizer, params, range(2))
    state, groups = optimizer.state, optimizer.param_groups

    def broken(*_: Any) -> None:
        raise OSError("no room")

    optimizer.register_load_state_dict_pre_hook(broken)
    with pytest.raises(OSError, match="no room"):
        optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state is state
    assert optimizer.param_groups is groups


class Counting(optim.AdamW):  # type: ignore[misc]
    """A subclass that overrides what torch's loader calls."""

    settings = 0

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.settings += 1
        super().__setstate__(state)

    def load_state_dict(self, state_dict: Any) -> None:  # type: ignore[override]
        super().load_state_dict(state_dict)


def test_a_subclass_is_asked_once() -> None:
    optimizer = Counting(list(named().values()))
    optimizer.load_state_dict(state_dict=optimizer.state_dict())
    assert optimizer.settings == 1
