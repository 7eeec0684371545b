"""Users subclass optimizers: with a constructor, a step, attributes and mixins of their own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import equal, give_gradients, parameters
from zerograd import rules


class Fixed(optim.SGD):
    def __init__(self, params: Any, scale: float) -> None:
        super().__init__(params, lr=0.1 * scale, momentum=0.9)
        self.scale = scale


class Clipped(optim.SGD):
    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], 1.0)
        return super().step(closure)


class Counted(optim.AdamW):
    steps = 0

    def step(self, closure: Any = None) -> Any:
        self.steps += 1
        return super().step(closure)


class Logging:
    """A mixin that takes part in construction and stepping."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.made = True
        super().__init__(*args, **kwargs)

    def step(self, closure: Any = None) -> Any:
        self.stepped = True
        return super().step(closure)  # type: ignore[misc]


class Logged(Logging, optim.AdamW):
    pass


def run(optimizer: Any, params: list[torch.Tensor]) -> list[torch.Tensor]:
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
    return [p.detach() for p in params]


def test_a_constructor_of_ones_own() -> None:
    params, twins = parameters(), parameters()
    optimizer = Fixed(params, 2.0)
    assert optimizer.scale == 2.0
    assert equal(run(optimizer, params), run(optim.SGD(twins, lr=0.2, momentum=0.9), twins))


def test_a_step_of_ones_own() -> None:
    params, twins = parameters(), parameters()
    mine = run(Clipped(params, lr=0.1), params)
    other = optim.SGD(twins, lr=0.1)
    for step in range(3):
        give_gradients(twins, step)
        torch.nn.utils.clip_grad_norm_(twins, 1.0)
        other.step()
    assert equal(mine, [p.detach() for p in twins])


def test_a_mixin_takes_part() -> None:
    params, twins = parameters(), parameters()
    optimizer = Logged(params, lr=0.1)
    assert optimizer.made
    assert equal(run(optimizer, params), run(optim.AdamW(twins, lr=0.1), twins))
    assert optimizer.stepped


def test_a_scheduler_drives_a_subclass() -> None:
    params = parameters()
    optimizer = Counted(params, lr=0.1)
    scheduler = optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for step in range(3):
        give_gradients(params, step)
        optimizer.step()
        scheduler.step()
    assert optimizer.steps == 3
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0125)


def test_a_subclass_of_a_class_of_ones_own_rule() -> None:
    made = optim.from_rule(rules.decoupled(rules.lion), name="Made", lr=0.1)

    class Child(made):  # type: ignore[misc, valid-type]
        def __init__(self, params: Any) -> None:
            super().__init__(params, weight_decay=0.5)

    params, twins = parameters(), parameters()
    assert equal(run(Child(params), params), run(optim.Lion(twins, lr=0.1, weight_decay=0.5), twins))
    assert Child.rule is made.rule


def test_the_base_has_no_rule_and_says_so() -> None:
    with pytest.raises(TypeError, match=r"make an optimizer class with zerograd.from_rule\(rule\)"):
        optim.RuleOptimizer(parameters())


def test_a_closure_reaches_the_step_through_a_subclass() -> None:
    params = parameters()
    optimizer = Counted(params, lr=0.1)

    def closure() -> float:
        assert torch.is_grad_enabled()
        give_gradients(params, 0)
        return 3.0

    with torch.no_grad():
        assert optimizer.step(closure) == 3.0
    assert float(optimizer.state[params[0]]["step"]) == 1
