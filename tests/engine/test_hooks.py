"""Step hooks fire once a step, whatever classes lie between the call and the step; the profiler sees one range."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import zerograd as optim
from engine.common import give_gradients, parameters
from zerograd.lifecycle.light import Light


class Child(optim.AdamW):
    def step(self, closure: Any = None) -> Any:
        return super().step(closure)


class GrandChild(Child):
    def step(self, closure: Any = None) -> Any:
        self.called = True
        return super().step(closure)


class Alone(optim.AdamW):
    """Its own step, which calls nobody."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # noqa: ARG002
        for p in self.param_groups[0]["params"]:
            p.sub_(p.grad)


class Inheriting(optim.AdamW):
    pass


CLASSES = [optim.AdamW, Child, GrandChild, Alone, Inheriting]


@pytest.mark.parametrize("kind", ["own", "global"])
@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_hooks_fire_once_a_step_through_any_subclass(cls: Any, kind: str) -> None:
    seen: list[str] = []
    params = parameters()
    give_gradients(params, 0)
    optim.AdamW(parameters())  # in torch, a parent that was made before changes how often they fire
    optimizer = cls(params)
    before, after = (
        (optimizer.register_step_pre_hook, optimizer.register_step_post_hook)
        if kind == "own"
        else (register_optimizer_step_pre_hook, register_optimizer_step_post_hook)
    )
    handles = [before(lambda *_: seen.append("pre")), after(lambda *_: seen.append("post"))]
    optimizer.step()
    assert seen == ["pre", "post"]
    optimizer.step()
    assert seen == ["pre", "post"] * 2
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert seen == ["pre", "post"] * 2


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_guards_hook_fires_once_a_step_through_any_subclass(cls: Any) -> None:
    seen: list[Any] = []
    params = parameters()
    give_gradients(params, 0)
    optimizer = cls(params)
    optimizer.register_step_post_hook(Light(lambda one, *_: seen.append(one)))
    optimizer.step()
    optimizer.step()
    assert seen == [optimizer] * 2


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_the_profiler_sees_one_range_with_the_name_of_the_class(cls: Any) -> None:
    params = parameters()
    give_gradients(params, 0)
    optimizer = cls(params)
    with torch.profiler.profile() as profile:
        optimizer.step()
    ranges = {event.key: event.count for event in profile.key_averages() if event.key.startswith("Optimizer.step#")}
    assert ranges == {f"Optimizer.step#{cls.__name__}.step": 1}


def test_a_hook_sees_the_optimizer_and_may_change_the_arguments() -> None:
    params = parameters()
    give_gradients(params, 0)
    optimizer = optim.SGD(params, lr=0.1)

    def closure() -> float:
        return 42.0

    optimizer.register_step_pre_hook(lambda self, _, kwargs: ((self, closure), kwargs))
    assert optimizer.step() == 42.0


def test_a_pre_hook_may_write_gradients() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=1.0)
    before = [p.detach().clone() for p in params]
    optimizer.register_step_pre_hook(lambda *_: [setattr(p, "grad", torch.ones_like(p)) for p in params] and None)
    optimizer.step()
    assert all(torch.equal(p, q - 1) for p, q in zip(params, before, strict=True))


def test_hooks_fire_again_after_a_step_that_failed() -> None:
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    seen: list[int] = []
    optimizer.register_step_pre_hook(lambda *_: seen.append(1))

    def failing() -> float:
        raise KeyError("no loss")

    for _ in range(2):
        with pytest.raises(KeyError, match="no loss"):
            optimizer.step(failing)
    assert len(seen) == 2


def test_a_scheduler_over_a_subclass_leaves_the_hooks_alone() -> None:
    params = parameters()
    optimizer = GrandChild(params)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    seen: list[int] = []
    optimizer.register_step_post_hook(lambda *_: seen.append(1))
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
        scheduler.step()
    assert len(seen) == 3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 / 8)


def test_state_dict_hooks_work() -> None:
    params = parameters()
    optimizer = optim.AdamW(params)
    seen: list[str] = []
    optimizer.register_state_dict_pre_hook(lambda _: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda _, saved: {**saved, "note": 1})
    optimizer.register_load_state_dict_pre_hook(lambda *_: seen.append("load"))
    optimizer.register_load_state_dict_post_hook(lambda _: seen.append("loaded"))
    saved = optimizer.state_dict()
    assert saved["note"] == 1
    optimizer.load_state_dict(saved)
    assert seen == ["save", "load", "loaded"]


@pytest.mark.parametrize("home", [optim, torch.optim], ids=["zerograd", "torch"])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_hooks_stand_round_the_closure_which_runs_with_gradients_enabled(name: str, home: Any) -> None:
    params = parameters()
    optimizer = getattr(home, name)(params)
    seen: list[Any] = []

    def closure() -> float:
        seen.append(("closure", torch.is_grad_enabled()))
        give_gradients(params, 0)
        return 2.5

    handles = [
        optimizer.register_step_pre_hook(lambda *_: seen.append(("pre", params[0].grad is None))),
        optimizer.register_step_post_hook(lambda *_: seen.append(("post", params[0].grad is None))),
        register_optimizer_step_pre_hook(lambda *_: seen.append("pre of all")),
        register_optimizer_step_post_hook(lambda *_: seen.append("post of all")),
    ]
    with torch.no_grad():
        assert optimizer.step(closure) == 2.5
        assert not torch.is_grad_enabled()
    for handle in handles:
        handle.remove()
    assert seen == ["pre of all", ("pre", True), ("closure", True), ("post", False), "post of all"]


def test_a_light_hook_fires_once_for_a_step_that_calls_its_parents() -> None:
    class Own(optim.SGD):  # type: ignore[misc]  # classes are made from rules
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    p = torch.ones(2).requires_grad_()
    optimizer, calls = Own([p], lr=0.5), []
    optimizer.register_step_post_hook(Light(lambda *_: calls.append(1)))
    for _ in range(2):
        p.grad = torch.ones(2)
        optimizer.step()
    assert calls == [1, 1]
