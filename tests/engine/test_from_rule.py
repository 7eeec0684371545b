"""``from_rule``: a rule in, an optimizer class out, with a signature, a name and torch's interface."""

# ruff: noqa: B008  # rules: the signature says what there is, and how state starts

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import zerograd as optim
from engine.common import give_gradients, noise, parameters
from zerograd import rules
from zerograd.algebra import norm, rule, scalar, sign, start
from zerograd.rules import cautious, decoupled, ema


@rule
def tempered(g, m, *, heat=2.0, betas=(0.9, 0.99), loud=False):
    m = betas[0] * m + g
    return heat * m if loud else m, m


def test_the_signature_is_the_rules() -> None:
    signature = inspect.signature(optim.from_rule(tempered, lr=0.5, heat=3.0))
    defaults = {name: p.default for name, p in signature.parameters.items() if p.default is not p.empty}
    assert defaults == {
        "lr": 0.5, "heat": 3.0, "betas": (0.9, 0.99), "loud": False,
        "maximize": False, "foreach": None, "capturable": False, "differentiable": False, "fused": None,
        "clip": None, "state_format": None, "weight_format": None, "nonfinite": "propagate",
    }  # fmt: skip
    by_keyword = [n for n, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY]
    flags = ["maximize", "foreach", "capturable", "differentiable", "fused"]
    assert by_keyword == [*flags, "clip", "state_format", "weight_format", "nonfinite"]


def test_the_order_of_the_arguments_can_be_chosen() -> None:
    cls = optim.from_rule(tempered, lr=0.5, order="heat lr * betas loud maximize")
    group = cls(parameters(), 7.0, 0.1, loud=True).param_groups[0]
    assert (group["heat"], group["lr"], group["loud"]) == (7.0, 0.1, True)
    with pytest.raises(TypeError, match="too many positional arguments"):
        cls(parameters(), 7.0, 0.1, (0.5, 0.5))
    with pytest.raises(TypeError, match="unexpected keyword argument 'fused'"):
        cls(parameters(), fused=True)


@pytest.mark.parametrize(
    ("made", "name"),
    [
        (tempered, "Tempered"),
        (decoupled(rules.adam), "DecoupledAdam"),
        (ema(decoupled(cautious(rules.lion))), "EmaDecoupledCautiousLion"),
        (rules.schedule_free_adamw, "ScheduleFreeAdamw"),
    ],
    ids=lambda value: str(value),
)
def test_a_class_is_named_after_its_rule(made: Any, name: str) -> None:
    cls = optim.from_rule(made, lr=0.1)
    assert cls.__name__ == cls.__qualname__ == name
    assert cls.__module__ == __name__
    assert repr(cls(parameters())).startswith(f"{name} (")
    assert optim.from_rule(made, lr=0.1, name="Mine").__name__ == "Mine"


def test_the_repr_tells_what_no_group_holds() -> None:
    told = repr(optim.AdamW(parameters(), clip=0.5, nonfinite="skip", weight_format="stochastic"))
    assert "    clip: 0.5\n    weight_format: stochastic\n    nonfinite: skip\n" in told
    plain = repr(optim.AdamW(parameters()))
    assert not any(word in plain for word in ("clip", "weight_format", "nonfinite"))


@pytest.mark.parametrize("make", ["lambda", "function", "closure", "exec"])
def test_any_plain_function_will_do(make: str) -> None:
    factor = 2.0
    scope: dict[str, Any] = {}
    exec("def made(g):\n    return 2.0 * g", scope)

    def function(g):
        return 2.0 * g

    def closure(g):
        return factor * g

    found = {"lambda": lambda g: 2.0 * g, "function": function, "closure": closure, "exec": scope["made"]}[make]
    p = torch.ones(3).requires_grad_()
    p.grad = torch.ones(3)
    optim.from_rule(found, name="Made", lr=0.25)([p]).step()
    assert p.tolist() == [0.5] * 3


@pytest.mark.parametrize(
    "name", ["params", "param_names", "step", "maximize", "foreach", "fused", "training_weights", "decay_policy"]
)
def test_names_that_the_engine_uses_are_refused(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def state(g, {name}): return g, {name}\ndef hyper(g, *, {name}=1.0): return g", scope)
    for made in (scope["state"], scope["hyper"]):
        with pytest.raises(TypeError, match=f"uses the reserved names {name}"):
            optim.from_rule(made, lr=0.1)


@pytest.mark.parametrize("thing", [3, "adam", optim.AdamW, decoupled, rules.ema_average], ids=str)
def test_what_is_no_rule_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="is no plain function; a rule is written with def or lambda"):
        optim.from_rule(thing, lr=0.1)


def test_steps_are_counted_where_they_are_asked_for() -> None:
    for made, keeps, counted in ((tempered, True, True), (tempered, False, False), (rules.adam, False, True)):
        params = parameters()
        optimizer = optim.from_rule(made, lr=0.1, keeps_step=keeps)(params)
        give_gradients(params, 0)
        optimizer.step()
        assert ("step" in optimizer.state[params[0]]) == counted


@pytest.mark.parametrize(("how", "moved"), [("rows", [True, False, False]), ("dense", [True, True, True])])
def test_sparse_gradients_are_rows_or_dense_as_asked(how: str, moved: list[bool]) -> None:
    """After a dense step with momentum, rows without a gradient move on or stand still."""

    @rule
    def heavy(g, m, *, momentum=0.9):
        m = momentum * m + g
        return m, m

    p = noise(0, 3, 2).requires_grad_()
    optimizer = optim.from_rule(heavy, lr=0.1, sparse=how)([p])
    p.grad = torch.ones(3, 2)
    optimizer.step()
    before = p.detach().clone()
    p.grad = torch.sparse_coo_tensor([[0]], torch.ones(1, 2), (3, 2), check_invariants=True)
    optimizer.step()
    assert [not torch.equal(x, y) for x, y in zip(p, before, strict=True)] == moved


def test_a_reduction_over_sparse_rows_sees_the_rows() -> None:
    p = torch.zeros(3, 2).requires_grad_()
    optimizer = optim.from_rule(lambda g: g / norm(g, per="group"), name="Normed", lr=1.0, sparse="rows")([p])
    p.grad = torch.sparse_coo_tensor([[2]], torch.tensor([[3.0, 4.0]]), (3, 2), check_invariants=True)
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([[0.0, 0.0], [0.0, 0.0], [-0.6, -0.8]]))


def test_a_state_that_nobody_reads_or_changes_does_not_exist() -> None:
    @rule
    def unread(g, kept, also=start("p"), number=scalar(2.0), shared=scalar(1.0, per="group")):
        return g, kept, also, number, shared

    params = parameters()
    optimizer = optim.from_rule(unread, lr=0.5, keeps_step=False)(params)
    give_gradients(params, 0)
    optimizer.step()
    assert not optimizer.state
    assert "shared" not in optimizer.param_groups[0]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("m", [1.0, 1.0]), ("m=3.0", [4.0, 4.0]), ("m=start('p')", [6.0, 7.0]), ("m=start('g')", [2.0, 3.0]),
        ("m=start('lr')", [1.5, 1.5]), ("m=start('h')", [1.25, 1.25]), ("m=scalar(2.0)", 3.0),
        ("m=scalar('lr')", 1.5), ("m=scalar('h', per='group')", 1.25), ("m=scalar(4, per='all')", 5.0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("maximize", [False, True])
def test_a_state_starts_as_its_default_says(text: str, wanted: Any, maximize: bool) -> None:
    made = eval(f"lambda g, {text}, *, h=0.25: (g, m + 1)", {"start": start, "scalar": scalar})
    p = torch.tensor([5.0, 6.0]).requires_grad_()
    p.grad = torch.tensor([-1.0, -2.0]) if maximize else torch.tensor([1.0, 2.0])  # the rule sees 1 and 2
    optimizer = optim.from_rule(made, name="Made", lr=0.5)([p], maximize=maximize)
    optimizer.step()
    held = optimizer.state[p].get("m", optimizer.param_groups[0].get("m"))
    assert (held.tolist() if isinstance(held, torch.Tensor) else held) == wanted


def test_an_optimizer_of_a_lambda_needs_no_module() -> None:
    p = torch.tensor([1.0, -2.0]).requires_grad_()
    p.grad = torch.tensor([0.5, -0.5])
    optimizer = optim.from_rule(lambda g: sign(g), lr=0.5)([p])
    optimizer.step()
    assert p.tolist() == [0.5, -1.5]
    optimizer.load_state_dict(optimizer.state_dict())
