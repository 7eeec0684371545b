"""Every rule and wrapper of the library, each with the flags that change its graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from zerograd import rules
from zerograd.algebra import Rule
from zerograd.rules import adam, cautious, cautious_decay, decoupled, ema, l2, lookahead, mars, torch_decay, trust_ratio

FLAGS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.5, "dampening": 0.3}],
    "adam": [{"amsgrad": True}, {"betas": (0.5, 0.6), "eps": 1e-2}],
    "nadam": [{"momentum_decay": 0.1}],
    "radam": [{"betas": (0.9, 0.6)}],
    "rprop": [{"etas": (0.3, 1.9), "step_sizes": (1e-3, 0.06)}],
    "asgd": [{"t0": 2.0, "lambd": 0.1}],
    "adagrad": [{"initial_accumulator_value": 0.5, "lr_decay": 0.1}],
    "rmsprop": [{"momentum": 0.9}, {"centered": True, "alpha": 0.9}, {"momentum": 0.9, "centered": True}],
    "lamb": [{"weight_decay": 0.0}, {"weight_decay": 0.0, "always_adapt": True}],
    "schedule_free_adamw": [{"warmup_steps": 3, "r": 0.5, "weight_decay": 0.1}, {"betas": (0.5, 0.9)}],
    "prodigy": [
        {"beta3": 0.7, "d0": 0.05},
        {"use_bias_correction": True, "growth_rate": 1.02, "weight_decay": 0.1, "d0": 0.05},
        {"safeguard_warmup": True, "d_coef": 2.0, "d0": 0.05},
    ],
}


@dataclass(frozen=True)
class Case:
    """A rule and its hyper-parameters, where they are not the defaults."""

    rule: Rule
    hypers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return "-".join([self.rule.name, *(f"{k}={v}" for k, v in self.hypers.items())])


PLAIN = {name: thing for name in rules.__all__ if isinstance(thing := getattr(rules, name), Rule)}
WRAPPED = [
    Case(l2(rules.sgd), {"momentum": 0.9, "weight_decay": 0.1}),
    Case(decoupled(adam), {"weight_decay": 0.1}),
    Case(torch_decay(adam), {"weight_decay": 0.1, "amsgrad": True}),
    Case(torch_decay(adam), {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    Case(decoupled(cautious(adam)), {"weight_decay": 0.1}),
    Case(cautious_decay(adam), {"weight_decay": 0.1}),
    Case(cautious_decay(rules.asgd), {"weight_decay": 0.1}),
    Case(ema(decoupled(rules.lion)), {"weight_decay": 0.1, "ema_decay": 0.9}),
    Case(lookahead(l2(adam)), {"weight_decay": 0.1, "every": 2}),
    Case(decoupled(mars(adam)), {"weight_decay": 0.1, "gamma": 0.5}),
    Case(l2(trust_ratio(adam)), {"weight_decay": 0.1}),
    Case(ema(lookahead(trust_ratio(cautious(rules.sgd)))), {"momentum": 0.9}),
]
CASES = [*(Case(rule, hypers) for name, rule in PLAIN.items() for hypers in [{}, *FLAGS.get(name, [])]), *WRAPPED]

assert FLAGS.keys() <= PLAIN.keys()
