"""The optimizers: torch.optim's, rewritten as rules, and more. Each is a rule, its weight decay, and defaults.

Where torch has a class of the same name, the constructor's arguments, their order and their defaults are torch's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import LBFGS, Adafactor, Optimizer, SparseAdam

from zerograd import rules
from zerograd.engine.construction import from_rule
from zerograd.rules import decoupled, l2, torch_decay

if hasattr(torch.optim, "Muon"):  # torch 2.9 and later
    from torch.optim import Muon as Muon


def _as_torchs_adam(given: Mapping[str, Any]) -> None:
    """Raise torch's errors for arguments that its implementations of Adam can't take together."""
    tensors = [isinstance(beta, torch.Tensor) for beta in given["betas"]]
    if any(tensors) and not all(tensors):
        raise ValueError("betas must be either both floats or both Tensors; make both the same")
    named = {"lr": given["lr"], **{f"betas[{i}]": beta for i, beta in enumerate(given["betas"])}}
    for name, value in named.items():
        if isinstance(value, torch.Tensor) and given["foreach"] and not given["capturable"]:
            raise ValueError(
                f"{name} as a Tensor is not supported for capturable=False and foreach=True; leave foreach out"
            )


SGD = from_rule(
    l2(rules.sgd),
    name="SGD",
    lr=1e-3,
    order="lr momentum dampening weight_decay nesterov * maximize foreach differentiable fused",
    keeps_step=False,
    sparse="dense",
)
Adam = from_rule(
    torch_decay(rules.adam),
    name="Adam",
    lr=1e-3,
    order="lr betas eps weight_decay amsgrad * foreach maximize capturable differentiable fused decoupled_weight_decay",
    check=_as_torchs_adam,
)
AdamW = from_rule(
    decoupled(rules.adam),
    name="AdamW",
    lr=1e-3,
    weight_decay=1e-2,
    order="lr betas eps weight_decay amsgrad * maximize foreach capturable differentiable fused",
    base=Adam,  # as in torch
    group_keys={"decoupled_weight_decay": True},  # by which torch's Adam knows how a loaded group decays
    check=_as_torchs_adam,
)
NAdam = from_rule(
    torch_decay(rules.nadam),
    name="NAdam",
    lr=2e-3,
    order="lr betas eps weight_decay momentum_decay decoupled_weight_decay"
    " * foreach maximize capturable differentiable",
)
RAdam = from_rule(
    torch_decay(rules.radam),
    name="RAdam",
    lr=1e-3,
    order="lr betas eps weight_decay decoupled_weight_decay * foreach maximize capturable differentiable",
)
Adamax = from_rule(
    l2(rules.adamax),
    name="Adamax",
    lr=2e-3,
    order="lr betas eps weight_decay foreach * maximize differentiable capturable",
)
RMSprop = from_rule(
    l2(rules.rmsprop),
    name="RMSprop",
    lr=1e-2,
    order="lr alpha eps weight_decay momentum centered capturable foreach maximize differentiable",
)
Adagrad = from_rule(
    l2(rules.adagrad),
    name="Adagrad",
    lr=1e-2,
    order="lr lr_decay weight_decay initial_accumulator_value eps foreach * maximize differentiable fused",
    sparse="rows",
)
Adadelta = from_rule(
    l2(rules.adadelta),
    name="Adadelta",
    lr=1.0,
    order="lr rho eps weight_decay foreach * capturable maximize differentiable",
)
Rprop = from_rule(
    rules.rprop,
    name="Rprop",
    lr=1e-2,
    order="lr etas step_sizes * capturable foreach maximize differentiable",
)
ASGD = from_rule(
    l2(rules.asgd),
    name="ASGD",
    lr=1e-2,
    order="lr lambd alpha t0 weight_decay foreach maximize differentiable capturable",
)

# Beyond torch's

Lion = from_rule(decoupled(rules.lion), name="Lion", lr=1e-4)
ADOPT = from_rule(torch_decay(rules.adopt), name="ADOPT", lr=1e-3)
LAMB = from_rule(rules.lamb, name="LAMB", lr=1e-3)
StableAdamW = from_rule(rules.stable_adamw, name="StableAdamW", lr=1e-3)
ScheduleFreeAdamW = from_rule(rules.schedule_free_adamw, name="ScheduleFreeAdamW", lr=2.5e-3)
Prodigy = from_rule(rules.prodigy, name="Prodigy", lr=1.0)

__all__ = [
    "ADOPT",
    "ASGD",
    "LAMB",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "NAdam",
    "Optimizer",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "SparseAdam",
    "StableAdamW",
]
