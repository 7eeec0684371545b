"""The table of the laws: each optimizer, its independent reference, and the flags to go through.

The reference is torch's own optimizer (its for-loop) or, for what torch lacks, a transcription of the paper in
float64 (tests/oracles).
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

import oracles
import zerograd as optim
from zerograd import rules

Config = dict[str, Any]


def grid(**choices: list[Any]) -> list[Config]:
    """Every combination of the choices."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


@dataclass(frozen=True)
class Row:
    """One optimizer of the table.

    reference: makes the independent one from groups and hyper-parameters. configs: hyper-parameters to go through.
    takes: "anything", "matrices" or "sparse" gradients.
    ulps: how far float32 may be from the exact result, in units of the last place (see test_precision.py).
    """

    name: str
    optimizer: type[Any]
    reference: Callable[..., Any]
    configs: list[Config]
    renamed: dict[str, str] = field(default_factory=dict)
    ulps: float = 4.0
    one_lr: bool = False
    takes: str = "anything"

    def make_reference(self, groups: list[dict[str, Any]], **hypers: Any) -> Any:
        new = {self.renamed.get(k, k): v for k, v in hypers.items()}
        renamed = [{self.renamed.get(k, k): v for k, v in group.items()} for group in groups]
        return self.reference(renamed, **new)


def _torch(name: str) -> Callable[..., Any]:
    kind = getattr(torch.optim, name)
    loop = {"foreach": False} if "foreach" in inspect.signature(kind).parameters else {}
    return lambda groups, **hypers: kind(groups, **loop, **hypers)


def _row(name: str, configs: list[Config], **more: Any) -> Row:
    return Row(name, getattr(optim, name), _torch(name), configs, **more)


BETAS = [(0.9, 0.999), (0.5, 0.6)]
DECAY = [0.0, 0.1]
EITHER = [False, True]


def _sgd() -> list[Config]:
    every = grid(lr=[0.1], momentum=[0.0, 0.9], dampening=[0.0, 0.3], nesterov=EITHER, weight_decay=DECAY)
    return [c for c in every if not (c["nesterov"] and (c["momentum"] == 0 or c["dampening"]))]


_ADAM_FLAGS = {"lr": [0.01], "amsgrad": EITHER, "weight_decay": DECAY, "betas": BETAS, "eps": [1e-8, 1e-2]}

TORCH = [
    _row("SGD", _sgd()),
    _row("Adam", grid(**_ADAM_FLAGS, decoupled_weight_decay=EITHER)),
    _row("AdamW", grid(**_ADAM_FLAGS)),
    _row(
        "NAdam",
        grid(lr=[0.01], weight_decay=DECAY, betas=BETAS, momentum_decay=[4e-3, 0.1], decoupled_weight_decay=EITHER),
        ulps=6.0,
    ),
    _row(
        "RAdam",
        grid(
            lr=[0.01], weight_decay=DECAY, betas=[(0.9, 0.999), (0.9, 0.6), (0.8, 0.9)], decoupled_weight_decay=EITHER
        ),
    ),
    _row("Adamax", grid(lr=[0.01], weight_decay=DECAY, betas=BETAS, eps=[1e-8, 1e-2])),
    _row(
        "RMSprop",
        grid(lr=[0.01], alpha=[0.99, 0.5], momentum=[0.0, 0.9], centered=EITHER, weight_decay=DECAY, eps=[1e-8, 1e-2]),
        ulps=200.0,  # centered: v - a^2 cancels most digits where the gradient hardly changes
    ),
    _row(
        "Adagrad",
        grid(
            lr=[0.01], lr_decay=[0.0, 0.1], initial_accumulator_value=[0.0, 0.5], weight_decay=DECAY, eps=[1e-10, 1e-2]
        ),
    ),
    _row("Adadelta", grid(lr=[1.0, 0.3], rho=[0.9, 0.5], weight_decay=DECAY, eps=[1e-6, 1e-2])),
    # The step sizes start at lr, in the parameter's dtype: 2^-7 is the same number in all of them.
    _row("Rprop", grid(lr=[2**-7], etas=[(0.5, 1.2), (0.3, 1.9)], step_sizes=[(1e-6, 50), (5e-3, 0.05)])),
    _row(
        "SparseAdam",
        grid(lr=[0.01], betas=BETAS, eps=[1e-8, 1e-2]),
        takes="sparse",
        ulps=8.0,  # torch adds the parts that moments and rows have changed by, and rounds twice
    ),
    _row(
        "Adafactor",
        grid(
            lr=[0.01, 0.5], beta2_decay=[-0.8, -0.3], eps=[(None, 1e-3), (0.5, 0.7)], d=[1.0, 1.5], weight_decay=DECAY
        ),
        ulps=16.0,
    ),
    _row("ASGD", grid(lr=[0.01], lambd=[1e-4, 0.1], alpha=[0.75, 0.5], t0=[1e6, 10, 0], weight_decay=DECAY)),
]


def _own(name: str, configs: list[Config], optimizer: type[Any] | None = None, **more: Any) -> Row:
    return Row(name, optimizer or getattr(optim, name), getattr(oracles, name), configs, **more)


def _wrapped(name: str, rule: Any, configs: list[Config], **more: Any) -> Row:
    return _own(name, configs, optim.from_rule(rule, name=name, lr=1e-3), **more)


_ADAM = {"lr": [0.01], "betas": BETAS, "eps": [1e-8, 1e-2], "weight_decay": DECAY}

OWN = [
    _own("Lion", grid(lr=[0.01], betas=[(0.9, 0.99), (0.5, 0.6)], weight_decay=DECAY)),
    _own(
        "ADOPT",
        grid(
            lr=[0.01],
            betas=[(0.9, 0.9999), (0.5, 0.6)],
            eps=[1e-6, 1e-1],
            weight_decay=DECAY,
            decoupled_weight_decay=EITHER,
        ),
        renamed={"decoupled_weight_decay": "decoupled"},
    ),
    _own("LAMB", grid(**_ADAM, always_adapt=EITHER), ulps=8.0),
    _own("StableAdamW", grid(lr=[0.01], betas=[(0.9, 0.99), (0.5, 0.6)], eps=[1e-6, 1e-2], weight_decay=DECAY)),
    _own(
        "ScheduleFreeAdamW",
        grid(
            lr=[0.01],
            betas=BETAS,
            eps=[1e-8, 1e-2],
            weight_decay=DECAY,
            warmup_steps=[0, 5],
            r=[0.0, 0.5],
            weight_lr_power=[2.0, 0.5],
        ),
    ),
    # d0 far above the default: with 1e-6 the term p0 - p cancels all but a few digits in any precision.
    _own(
        "Prodigy",
        grid(
            lr=[0.5],
            betas=[(0.9, 0.99)],
            eps=[1e-8, 1e-2],
            weight_decay=DECAY,
            beta3=[None, 0.7],
            d0=[0.05],
            d_coef=[1.0, 2.0],
            growth_rate=[float("inf"), 1.02],
            use_bias_correction=EITHER,
            safeguard_warmup=EITHER,
        ),
        one_lr=True,
        ulps=1e4,  # the estimate d sums signed terms over all parameters
    ),
    _wrapped("CautiousAdamW", rules.decoupled(rules.cautious(rules.adam)), grid(**_ADAM)),
    _wrapped("EMAAdamW", rules.ema(rules.decoupled(rules.adam)), grid(**_ADAM, ema_decay=[0.999, 0.5])),
    _wrapped("LookaheadAdam", rules.lookahead(rules.l2(rules.adam)), grid(**_ADAM, every=[5, 3], alpha=[0.5, 0.8])),
    _wrapped("MARSAdamW", rules.decoupled(rules.mars(rules.adam)), grid(**_ADAM, gamma=[0.025, 0.5]), ulps=8.0),
    _wrapped("CautiousDecayAdam", rules.cautious_decay(rules.adam), grid(**_ADAM)),
    _wrapped("TrustRatioAdam", rules.l2(rules.trust_ratio(rules.adam)), grid(**_ADAM), ulps=8.0),
]

ROWS = {row.name: row for row in [*TORCH, *OWN]}

DENSE = [row for row in ROWS.values() if row.takes != "sparse"]
"""The rows for laws on gradients that are there for every element; tests/matrix has those on sparse ones."""


def cases(rows: list[Row] | None = None) -> Iterator[tuple[Row, Config]]:
    """Every row with each of its configurations."""
    for row in rows if rows is not None else ROWS.values():
        for config in row.configs:
            yield row, config


def label(case: tuple[Row, Config]) -> str:
    row, config = case
    return f"{row.name}-" + "-".join(f"{k}={v}" for k, v in config.items() if k != "lr")
