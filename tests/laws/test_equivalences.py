"""Laws that tie optimizers to each other and to themselves, without a reference."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

import zerograd as optim
from laws.table import DENSE, ROWS, Config, Row, label
from zerograd import rules

Make = Callable[[list[Any]], Any]


def noise(step: int, index: int, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * step + index)
    return torch.randn(shape, generator=generator)


def growing(step: int, index: int, shape: tuple[int, ...]) -> Tensor:
    """Gradients whose squares only grow, element by element."""
    return (1.5**step) * noise(0, index, shape)


def run(
    make: Make, gradient: Callable[..., Tensor] = noise, steps: int = 8, *, parts: Sequence[slice] = (slice(None),)
) -> list[Tensor]:
    """The parameters after some steps; ``parts`` are the groups that they are given in."""
    shapes = [(5,), (2, 3), ()]
    params = [noise(99, i, shape).requires_grad_() for i, shape in enumerate(shapes)]
    optimizer = make([{"params": params[part]} for part in parts])
    for step in range(steps):
        for i, p in enumerate(params):
            p.grad = gradient(step, i, tuple(p.shape))
        optimizer.step()
    return [p.detach() for p in params]


def made(rule: Any, **hypers: Any) -> Make:
    cls = optim.from_rule(rule, lr=0.01)
    return lambda groups: cls(groups, **hypers)


def zerograd_class(name: str, **hypers: Any) -> Make:
    return lambda groups: getattr(optim, name)(groups, **hypers)


EQUAL: dict[str, tuple[Make, Make, Callable[..., Tensor]]] = {
    "amsgrad with growing squares is Adam": (
        zerograd_class("Adam", lr=0.01, amsgrad=True), zerograd_class("Adam", lr=0.01), growing,
    ),
    "AdamW is Adam with decoupled decay": (
        zerograd_class("AdamW", lr=0.01, weight_decay=0.1),
        zerograd_class("Adam", lr=0.01, weight_decay=0.1, decoupled_weight_decay=True), noise,
    ),
    "without decay AdamW is Adam": (
        zerograd_class("AdamW", lr=0.01, weight_decay=0.0), zerograd_class("Adam", lr=0.01), noise,
    ),
    "any policy with weight_decay 0 is no policy": (
        made(rules.cautious_decay(rules.adam), weight_decay=0.0), made(rules.adam), noise,
    ),
    "momentum 0 is plain descent, whatever the dampening": (
        zerograd_class("SGD", lr=0.1, dampening=0.3), made(rules.sgd, lr=0.1), noise,
    ),
    "cautious SGD without momentum is SGD: every step agrees with its gradient": (
        made(rules.cautious(rules.sgd)), made(rules.sgd), noise,
    ),
    "an average leaves training alone": (made(rules.ema(rules.adam)), made(rules.adam), noise),
    "lookahead that keeps the whole way is no lookahead": (
        made(rules.lookahead(rules.sgd), alpha=1.0), made(rules.sgd), noise,
    ),
    "lookahead that never looks is no lookahead": (made(rules.lookahead(rules.sgd), every=100), made(rules.sgd), noise),
    "LAMB without decay on which it would adapt is Adam": (
        zerograd_class("LAMB", lr=0.01, weight_decay=0.0), zerograd_class("Adam", lr=0.01, eps=1e-6), noise,
    ),
    "LAMB that always adapts is Adam with a trust ratio": (
        zerograd_class("LAMB", lr=0.01, weight_decay=0.0, always_adapt=True),
        made(rules.trust_ratio(rules.adam), eps=1e-6), noise,
    ),
    "a policy in the constructor is the policy in the class": (
        zerograd_class("AdamW", lr=0.01, weight_decay=optim.l2(0.1)), zerograd_class("Adam", lr=0.01, weight_decay=0.1),
        noise,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_equal_to_the_last_bit_or_two(name: str) -> None:
    left, right, gradient = EQUAL[name]
    for x, y in zip(run(left, gradient), run(right, gradient), strict=True):
        # The same formula may be grouped otherwise: a few units in the last place of float32 over eight steps.
        torch.testing.assert_close(x, y, rtol=2e-6, atol=2e-7)


def one_config_each() -> list[tuple[Row, Config]]:
    return [(row, config) for row in DENSE for config in (row.configs[0], row.configs[-1])]


@pytest.mark.parametrize("case", one_config_each(), ids=label)
def test_maximize_is_descent_on_the_negated_gradient(case: tuple[Row, Config]) -> None:
    row, config = case
    up = run(lambda groups: row.optimizer(groups, maximize=True, **config))
    down = run(lambda groups: row.optimizer(groups, **config), lambda *where: -noise(*where))
    assert all(torch.equal(x, y) for x, y in zip(up, down, strict=True))


@pytest.mark.parametrize("case", one_config_each(), ids=label)
def test_how_parameters_are_grouped_does_not_matter(case: tuple[Row, Config]) -> None:
    row, config = case
    whole = run(lambda groups: row.optimizer(groups, **config))
    split = run(lambda groups: row.optimizer(groups, **config), parts=[slice(0, 1), slice(1, None)])
    # Prodigy's total is summed in another order: one rounding of float64 in the estimate.
    assert all(torch.allclose(x, y, rtol=1e-6, atol=0) for x, y in zip(whole, split, strict=True))


@pytest.mark.parametrize("case", [c for c in one_config_each() if c[0].name != "Rprop"], ids=label)
def test_a_learning_rate_of_zero_moves_nothing(case: tuple[Row, Config]) -> None:
    """Rprop is left out: lr is where its step sizes start, and they have a smallest value."""
    row, config = case
    before = run(lambda groups: row.optimizer(groups, **{**config, "lr": 0.0}), steps=0)
    after = run(lambda groups: row.optimizer(groups, **{**config, "lr": 0.0}), steps=6)
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


@pytest.mark.parametrize("case", one_config_each(), ids=label)
def test_gradients_are_bitwise_the_same_after_a_step(case: tuple[Row, Config]) -> None:
    row, config = case
    p = noise(0, 0, (6,)).requires_grad_()
    optimizer = row.optimizer([p], **config)
    for step in range(3):
        p.grad = noise(step, 1, (6,))
        kept = p.grad.clone()
        optimizer.step()
        assert torch.equal(p.grad, kept)


@pytest.mark.parametrize("case", one_config_each(), ids=label)
def test_a_parameter_without_gradient_is_untouched(case: tuple[Row, Config]) -> None:
    row, config = case
    moved, still = noise(0, 0, (4,)).requires_grad_(), noise(1, 0, (4,)).requires_grad_()
    kept = still.detach().clone()
    optimizer = row.optimizer([moved, still], **config)
    started = copy.deepcopy(optimizer.state.get(still))  # Adagrad's is there from the start, as torch's
    for step in range(3):
        moved.grad = noise(step, 1, (4,))
        optimizer.step()
    assert torch.equal(still, kept)
    assert bool(started) == row.optimizer.starts_early
    assert not started or all(map(torch.equal, optimizer.state[still].values(), started.values()))
    assert started or not optimizer.state.get(still)


def test_nesterov_without_momentum_is_refused_as_torch_does() -> None:
    for module in (torch.optim, optim):
        with pytest.raises(ValueError, match="Nesterov momentum requires a momentum and zero dampening"):
            module.SGD([torch.zeros(1, requires_grad=True)], nesterov=True)


OWN_CLASSES = [row for row in ROWS.values() if hasattr(optim, row.name) and not hasattr(torch.optim, row.name)]


@pytest.mark.parametrize("row", OWN_CLASSES, ids=lambda row: row.name)
def test_defaults_are_the_papers(row: Row) -> None:
    """For the classes that torch lacks; torch's own are compared with torch's signatures in tests/structure."""
    defaults = row.optimizer([torch.zeros(1, requires_grad=True)]).defaults
    ours = {row.renamed.get(name, name): value for name, value in defaults.items()}
    assert {name: ours[name] for name in row.reference.hyper} == row.reference.hyper
