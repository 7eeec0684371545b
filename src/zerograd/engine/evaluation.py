"""Evaluation weights: a view's reading put into the parameters, the training weights kept until they are put back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from zerograd.algebra.notation import View
from zerograd.engine.coding import read

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

TRAINING_WEIGHTS = "training_weights"
"""The key of a parameter's state under which its training weights wait; so a checkpoint of that moment has them too."""


@torch.no_grad()
def enter(optimizer: RuleOptimizer, view: View) -> None:
    """Compute the view of every parameter that has its states, and put it into the parameter."""
    wanted = [name for name in view.positional if name != "p"]
    for group in optimizer.param_groups:
        values = optimizer._hypers(group)
        keywords: dict[str, Any] = {name: values[name] for name in view.supplied}
        for p in group["params"]:
            state = optimizer.state.get(p, {})
            if all(state.get(name) is not None for name in wanted):
                given = {"p": p.detach(), **{name: read(state, name) for name in wanted}}
                reading = view(*(given[name] for name in view.positional), **keywords)
                optimizer.state[p][TRAINING_WEIGHTS] = p.detach().clone()
                p.copy_(reading)


@torch.no_grad()
def leave(optimizer: RuleOptimizer) -> None:
    """Put the training weights back, bit for bit."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            weights = optimizer.state.get(p, {}).pop(TRAINING_WEIGHTS, None)
            if weights is not None:
                p.copy_(weights)
