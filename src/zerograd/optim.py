"""The optimizers: torch.optim's, rewritten as rules, and more. Each is a rule, its weight decay, and defaults.

Where torch has a class of the same name, the constructor's arguments, their order and their defaults are torch's.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from zerograd import matrix, rules
from zerograd.engine.construction import EXTRAS, from_rule
from zerograd.engine.early_states import share_memory
from zerograd.engine.explaining import explained
from zerograd.engine.hooks import hooked, unhooked
from zerograd.engine.optimizer import RuleOptimizer, bind
from zerograd.engine.vector_state import Kept, flat_state, kept_state
from zerograd.rules import decoupled, l2, torch_decay


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
    torchs=torch.optim.SGD,
    lr=1e-3,
    order="lr momentum dampening weight_decay nesterov * maximize foreach differentiable fused",
    keeps_step=False,
    sparse="dense",
)
Adam = from_rule(
    torch_decay(rules.adam),
    name="Adam",
    torchs=torch.optim.Adam,
    lr=1e-3,
    order="lr betas eps weight_decay amsgrad * foreach maximize capturable differentiable fused decoupled_weight_decay",
    check=_as_torchs_adam,
)
AdamW = from_rule(
    decoupled(rules.adam),
    name="AdamW",
    torchs=torch.optim.AdamW,
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
    torchs=torch.optim.NAdam,
    lr=2e-3,
    order="lr betas eps weight_decay momentum_decay decoupled_weight_decay"
    " * foreach maximize capturable differentiable",
)
RAdam = from_rule(
    torch_decay(rules.radam),
    name="RAdam",
    torchs=torch.optim.RAdam,
    lr=1e-3,
    order="lr betas eps weight_decay decoupled_weight_decay * foreach maximize capturable differentiable",
)
Adamax = from_rule(
    l2(rules.adamax),
    name="Adamax",
    torchs=torch.optim.Adamax,
    lr=2e-3,
    order="lr betas eps weight_decay foreach * maximize differentiable capturable",
)
RMSprop = from_rule(
    l2(rules.rmsprop),
    name="RMSprop",
    torchs=torch.optim.RMSprop,
    lr=1e-2,
    order="lr alpha eps weight_decay momentum centered capturable foreach maximize differentiable",
)
Adagrad = from_rule(
    l2(rules.adagrad),
    name="Adagrad",
    torchs=torch.optim.Adagrad,
    lr=1e-2,
    order="lr lr_decay weight_decay initial_accumulator_value eps foreach * maximize differentiable fused",
    sparse="rows",
    starts_early=True,
)
Adagrad.share_memory = share_memory  # type: ignore[attr-defined]
Adadelta = from_rule(
    l2(rules.adadelta),
    name="Adadelta",
    torchs=torch.optim.Adadelta,
    lr=1.0,
    order="lr rho eps weight_decay foreach * capturable maximize differentiable",
)
Rprop = from_rule(
    rules.rprop,
    name="Rprop",
    torchs=torch.optim.Rprop,
    lr=1e-2,
    order="lr etas step_sizes * capturable foreach maximize differentiable",
)
ASGD = from_rule(
    l2(rules.asgd),
    name="ASGD",
    torchs=torch.optim.ASGD,
    lr=1e-2,
    order="lr lambd alpha t0 weight_decay foreach maximize differentiable capturable",
)
SparseAdam = from_rule(
    rules.sparse_adam,
    name="SparseAdam",
    torchs=torch.optim.SparseAdam,
    lr=1e-3,
    order="lr betas eps maximize",
    keeps_step=int,
    sparse="only",
)
Adafactor = from_rule(
    matrix.adafactor,
    name="Adafactor",
    torchs=getattr(torch.optim, "Adafactor", None),
    lr=1e-2,
    order="lr beta2_decay eps d weight_decay * foreach maximize",
)
Muon = from_rule(
    matrix.muon,
    name="Muon",
    torchs=getattr(torch.optim, "Muon", None),
    lr=1e-3,
    order="lr weight_decay momentum nesterov ns_coefficients eps ns_steps adjust_lr_fn",
    keeps_step=False,
)


class LBFGS(torch.optim.LBFGS):
    """LBFGS: the direction of Newton's method, from a memory of recent steps and changes of the gradient.

    Algorithm
        y   = g - g_old,  s = t * d                        kept if y s > 1e-10, the last history_size of them
        d   = -H g                                         H from all y and s, by the two loops of L-BFGS
        t   = lr, or by a line search along d              in the very first iteration min(1, 1 / ||g||_1) * lr
        p   = p + t * d                                    up to max_iter times a step
    Hyper-parameters
        lr: 1; with line_search_fn "strong_wolfe" it is the first try, without one the length of every iteration.
        max_iter: iterations in one step.
        max_eval: calls of the closure in one step; None for 1.25 * max_iter.
        tolerance_grad: a step ends when no element of the gradient is larger.
        tolerance_change: a step ends when neither the weights nor the loss change by more.
        history_size: pairs (y, s) that are kept.
        line_search_fn: None or "strong_wolfe", which makes it robust.
    When to use
        Small smooth problems with the loss of all data at once: fitting, physics-informed networks, style transfer.
        Not with mini-batches: two gradients of different samples say nothing of the curvature. ``step`` needs a closure
        that clears the gradients, computes the loss, calls backward and returns the loss. The iterations are torch's.
    State
        8 * history_size + 12 bytes a parameter in float32 (old_dirs, old_stps, d, prev_flat_grad and a direction).
    Reference
        Liu and Nocedal 1989; the line search as in Schmidt's minFunc, 2005.
    Example
        >>> import torch, zerograd as optim
        >>> _ = torch.manual_seed(0)
        >>> model, loss_fn = torch.nn.Linear(4, 1), torch.nn.MSELoss()
        >>> optimizer = optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
        >>> inputs, targets = torch.randn(32, 4), torch.randn(32, 1)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = loss_fn(model(inputs), targets)
        ...     loss.backward()
        ...     return loss
        >>> first = optimizer.step(closure)
        >>> closure() < first
        tensor(True)
    """

    def __init__(self, *args: Any, **keywords: Any) -> None:
        if refused := EXTRAS.keys() & keywords.keys():
            raise TypeError(
                f"LBFGS() takes no {', '.join(sorted(refused))}: its line search compares gradients as they are, many "
                "times a step; do what you need to the loss or the gradients inside the closure"
            )
        given = bind(_LBFGS_SIGNATURE, "LBFGS", args, keywords)
        if given["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported, or None; not {given['line_search_fn']!r}")
        try:
            super().__init__(**given)
        except (TypeError, ValueError, KeyError) as error:
            raise explained(error, "LBFGS", given["params"]) from None

    step = hooked(unhooked(torch.optim.LBFGS.step))
    zero_grad = RuleOptimizer.zero_grad

    def train(self, mode: bool = True) -> None:
        """Nothing to do, as for every optimizer with one set of weights: so a loop may always call it."""

    def eval(self) -> None:
        """As ``train``."""

    # torch's class remembers the list of parameters and their number: both are lost when it is copied or pickled, and
    # wrong when somebody puts other parameters into the group.
    @property
    def _params(self) -> list[Tensor]:
        params: list[Tensor] = self.param_groups[0]["params"]
        return params

    @_params.setter
    def _params(self, _: Any) -> None:
        """torch's constructor sets it; there is nothing to remember."""

    @property
    def _numel_cache(self) -> int:
        return sum(2 * p.numel() if p.is_complex() else p.numel() for p in self._params)

    @_numel_cache.setter
    def _numel_cache(self, _: Any) -> None:
        """As above."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """The only group, when the optimizer is made; ValueError for a second one."""
        super().add_param_group(param_group)
        if len(self.param_groups) > 1:
            self.param_groups.pop()
            raise ValueError(
                "LBFGS doesn't support per-parameter options (parameter groups): its direction is one for all "
                "parameters; give all of them in one list"
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict()`` of this class or of torch's gave; nothing is shared with it afterwards."""

        def keep(_: Any, loaded: dict[str, Any]) -> dict[str, Any]:
            return {**loaded, "state": kept_state(loaded["state"])}  # torch would cast it to the first one's dtype

        handle = self.register_load_state_dict_pre_hook(keep)
        try:
            super().load_state_dict(dict(state_dict))
        finally:
            handle.remove()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for p, held in self.state.items():
            self.state[p] = {
                n: flat_state(v.value, self._params) if isinstance(v, Kept) else v for n, v in held.items()
            }


_LBFGS_SIGNATURE = inspect.signature(torch.optim.LBFGS)
LBFGS.__init__.__signature__ = inspect.signature(torch.optim.LBFGS.__init__)  # type: ignore[attr-defined]

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
