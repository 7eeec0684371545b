"""The optimizers: torch.optim's, rewritten as rules, and more. Each is a rule, its weight decay, and defaults.

Where torch has a class of the same name, the constructor's arguments, their order and their defaults are torch's.
"""

from __future__ import annotations

import torch
from torch.optim import LBFGS, Optimizer

from zerograd import matrix, rules
from zerograd.engine.construction import from_rule
from zerograd.rules import decoupled, l2, torch_decay

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
)
AdamW = from_rule(
    decoupled(rules.adam),
    name="AdamW",
    lr=1e-3,
    weight_decay=1e-2,
    order="lr betas eps weight_decay amsgrad * maximize foreach capturable differentiable fused",
    base=Adam,  # as in torch
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
SparseAdam = from_rule(
    rules.sparse_adam,
    name="SparseAdam",
    lr=1e-3,
    order="lr betas eps maximize",
    keeps_step=int,
    sparse="only",
)
Adafactor = from_rule(
    matrix.adafactor,
    name="Adafactor",
    lr=1e-2,
    order="lr beta2_decay eps d weight_decay * foreach maximize",
)
Muon = from_rule(
    matrix.muon,
    name="Muon",
    lr=1e-3,
    order="lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
    keeps_step=False,
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
    "Muon",
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
