"""Law of the laws: every rule with one sign, constant, arm or order changed fails in lock-step with its reference.

A mutant that no law tells from the rule is listed below with the reason, and the list is held to be true both ways.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

import zerograd as optim
from laws.lockstep import Pair
from laws.mutants import mutants, with_function
from laws.table import ROWS, Config, Row
from laws.test_lockstep import TOLERANCE, compare_in_lockstep
from zerograd import matrix, rules
from zerograd.algebra.notation import Rule, Wrapper

FUNCTIONS = {
    "adadelta": "Adadelta", "adagrad": "Adagrad", "adam": "Adam", "adamax": "Adamax", "adopt": "ADOPT", "asgd": "ASGD",
    "lamb": "LAMB", "lion": "Lion", "nadam": "NAdam", "prodigy": "Prodigy", "radam": "RAdam", "rmsprop": "RMSprop",
    "rprop": "Rprop", "schedule_free_adamw": "ScheduleFreeAdamW", "sgd": "SGD", "stable_adamw": "StableAdamW",
    "l2": "SGD", "decoupled": "AdamW", "torch_decay": "Adam", "cautious_decay": "CautiousDecayAdam",
    "cautious": "CautiousAdamW", "ema": "EMAAdamW", "lookahead": "LookaheadAdam", "mars": "MARSAdamW",
    "trust_ratio": "TrustRatioAdam", "sparse_adam": "SparseAdam", "adafactor": "Adafactor",
}  # fmt: skip
"""Every rule and wrapper, and the row of the table whose laws hold it."""
ELSEWHERE = {"muon": "Muon"}
"""It computes in bfloat16, where lock-step to the last digits says nothing: tests/matrix holds it to torch's."""

_ADOPT_RETURNS = "return (m, m, beta2 * exp_avg_sq + (1 - beta2) * g * g)"
_WAYS = "if g.numel() >= LARGE and row.min() * col_var.min() >= least ** 2:"
EQUIVALENT: dict[str, dict[str, str]] = {
    "adopt": {
        f"{_ADOPT_RETURNS}: 0 and 1 swapped in: {_ADOPT_RETURNS}": (
            "the direction is the new average: they are one value"
        ),
    },
    "adafactor": {
        f"{what} in: {_WAYS}": "it only chooses between two ways to one result"
        for what in ("g.numel() >= LARGE: Lt", "least ** 2: Mult")
    },
    "asgd": {
        "constant 0.0 + 1 in: defaults": "ax is overwritten with p in its first step, where mu is 1",
    },
    "cautious": {
        "constant 1 + 1 in: agree = where(u * g > 0, 1, 0)": (
            "a factor of all masks cancels against their mean, unless fewer than one element in a thousand agrees"
        ),
    },
    "cautious_decay": {
        "u * p: Div in: return u + where(u * p > 0, weight_decay * p, 0)": (
            "a quotient has the sign of the product, and where p is 0 nothing decays"
        ),
    },
    "schedule_free_adamw": {
        "constant 0 + 1 in: c = where(weight_sum > 0, weight / weight_sum, 0)": (
            "weight_sum is 0 only while lr has been 0; y and z are equal until then, and their mix does not matter"
        ),
    },
}
"""Function -> what was changed -> why no law can tell, or no input of a sensible size."""


pytestmark = pytest.mark.usefixtures("double")


@pytest.fixture(autouse=True)
def _every_size_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that small matrices go the way of large ones too, where there is nothing to clamp."""
    monkeypatch.setitem(matrix.adafactor.function.__globals__, "LARGE", 0)


def caught(row: Row, rule: Any, configs: list[Config]) -> bool:
    """Whether lock-step with the reference fails for this rule, in any configuration; the one that fails comes first
    from then on, as what catches a mutant often catches the next one."""
    kind = {"keeps_step": row.optimizer.keeps_step, "sparse": row.optimizer.sparse}
    optimizer = optim.from_rule(rule, name=row.name, lr=row.configs[0]["lr"], **kind)
    for at, config in enumerate(configs):
        if _fails(row, config, optimizer):
            configs.insert(0, configs.pop(at))
            return True
    return False


def _fails(row: Row, config: Config, optimizer: Any) -> bool:
    try:
        difference, _ = compare_in_lockstep(Pair(row, config, optimizer=optimizer))
    except (AssertionError, ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return True
    return math.isnan(difference) or difference > TOLERANCE


def _mixed(configs: list[Config]) -> list[Config]:
    """All configurations: first the one with the most flags set, then always one that differs most from all before."""
    rest = sorted(configs, key=lambda c: -sum(bool(v) for v in c.values()))
    found = [rest.pop(0)]
    while rest:
        nearest = [min(sum(one[k] is not other[k] for k in one if k in other) for other in found) for one in rest]
        found.append(rest.pop(nearest.index(max(nearest))))
    return found


def test_every_rule_and_wrapper_is_checked() -> None:
    found = {f.__name__ for row in ROWS.values() for f in row.optimizer.rule.functions}
    assert found == set(FUNCTIONS)
    named = {name: getattr(home, name) for home in (rules, matrix) for name in home.__all__}
    written = {name for name, value in named.items() if isinstance(value, (Rule, Wrapper))}
    assert found == written - set(ELSEWHERE)


def test_every_optimizer_has_a_row() -> None:
    classes = {name for name in optim.optim.__all__ if issubclass(getattr(optim, name), optim.RuleOptimizer)}
    assert classes - set(ROWS) == set(ELSEWHERE.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_mutant_is_caught(name: str) -> None:
    row = ROWS[FUNCTIONS[name]]
    rule = row.optimizer.rule
    function = next(f for f in rule.functions if f.__name__ == name).function
    escaped = set()
    count, configs = 0, _mixed(row.configs)
    for what, mutant in mutants(function):
        count += 1
        try:
            mutated = with_function(rule, name, mutant)
        except TypeError:
            continue  # not even a rule any more
        if not caught(row, mutated, configs):
            escaped.add(what)
    assert count > 0
    assert escaped == set(EQUIVALENT.get(name, {}))


def test_the_rule_itself_is_not_caught() -> None:
    row = ROWS["Adam"]
    assert not caught(row, row.optimizer.rule, row.configs)
