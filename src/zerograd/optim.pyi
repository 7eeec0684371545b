"""The signatures of the optimizers, for editors and type checkers.

Written by `make stubs` (tools/make_stubs.py) from the live package; do not edit by hand.
"""

from collections.abc import Mapping

import torch.optim
from torch import Tensor
from torch.optim import Optimizer as Optimizer
from torch.optim.optimizer import ParamsT

from zerograd.algebra import Policy
from zerograd.engine.optimizer import RuleOptimizer
from zerograd.formats.policies import Int8

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

class LBFGS(torch.optim.LBFGS):
    """LBFGS: the direction of Newton's method, from a memory of recent steps and changes of the gradient."""

    def train(self, mode: bool = True) -> None: ...
    def eval(self) -> None: ...

class ADOPT(RuleOptimizer):
    """ADOPT: Adam that divides by the square known before this gradient, so that it converges with any betas[1]."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.9999),
        eps: float = 1e-06,
        weight_decay: float | Tensor | Policy = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class ASGD(RuleOptimizer, torch.optim.ASGD):
    """ASGD: SGD with a falling rate that also keeps the average of the weights."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        lambd: float = 0.0001,
        alpha: float = 0.75,
        t0: float = 1000000.0,
        weight_decay: float | Tensor | Policy = 0.0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        *,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class LAMB(RuleOptimizer):
    """LAMB: Adam's direction, rescaled in each tensor to the size of its weights."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-06,
        weight_decay: float | Tensor = 0.01,
        always_adapt: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class SGD(RuleOptimizer, torch.optim.SGD):
    """Stochastic gradient descent, with momentum if wanted."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float | Tensor | Policy = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Adadelta(RuleOptimizer, torch.optim.Adadelta):
    """Adadelta: the gradient scaled by the ratio of recent steps to recent gradients, so that units cancel."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-06,
        weight_decay: float | Tensor | Policy = 0.0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Adafactor(RuleOptimizer, torch.optim.Adafactor):
    """Adafactor: Adam's square as a row times a column, and steps in proportion to the weights."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 0.001),
        d: float = 1.0,
        weight_decay: float | Tensor = 0.0,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Adagrad(RuleOptimizer, torch.optim.Adagrad):
    """Adagrad: the gradient over the root of the sum of all its squares so far."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        lr_decay: float = 0.0,
        weight_decay: float | Tensor | Policy = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...
    def share_memory(self) -> None: ...

class Adam(RuleOptimizer, torch.optim.Adam):
    """Adam: each element's step is its mean gradient over the root of its mean squared gradient."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor | Policy = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class AdamW(Adam, torch.optim.AdamW):
    """AdamW: Adam with decoupled weight decay."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor | Policy = 0.01,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Adamax(RuleOptimizer, torch.optim.Adamax):
    """Adamax: Adam with the largest recent gradient in place of the root mean square."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.002,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor | Policy = 0.0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Lion(RuleOptimizer):
    """Lion: the sign of a momentum; every element moves by lr."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.0001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.99),
        weight_decay: float | Tensor | Policy = 0.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Muon(RuleOptimizer, torch.optim.Muon):
    """Muon: a momentum whose singular values are all brought near 1, for the matrices of hidden layers."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        weight_decay: float | Tensor = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        eps: float = 1e-07,
        ns_steps: float = 5,
        adjust_lr_fn: str | None = None,
        *,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class NAdam(RuleOptimizer, torch.optim.NAdam):
    """NAdam: Adam whose mean gradient looks one step ahead, as Nesterov's momentum does."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.002,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor | Policy = 0.0,
        momentum_decay: float = 0.004,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Prodigy(RuleOptimizer):
    """Prodigy: Adam that estimates its learning rate from how far the weights have to travel."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1.0,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor = 0.0,
        beta3: float | None = None,
        d0: float = 1e-06,
        d_coef: float = 1.0,
        growth_rate: float = float("inf"),
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class RAdam(RuleOptimizer, torch.optim.RAdam):
    """RAdam: Adam that waits with the adaptive rate until it is known well enough, a warm-up built in."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor | Policy = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class RMSprop(RuleOptimizer, torch.optim.RMSprop):
    """RMSprop: the gradient over the root of its running mean square."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float | Tensor | Policy = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        *,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class Rprop(RuleOptimizer, torch.optim.Rprop):
    """Rprop: steps by the gradient's sign, with a step size of its own for each element."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.01,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-06, 50.0),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class ScheduleFreeAdamW(RuleOptimizer):
    """Schedule-free AdamW: an average of the iterates takes the place of a learning-rate schedule."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.0025,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float | Tensor = 0.0,
        warmup_steps: float = 0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class SparseAdam(RuleOptimizer, torch.optim.SparseAdam):
    """SparseAdam: Adam on the rows of a table that a sparse gradient touches; all others stand still."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-08,
        maximize: bool = False,
        *,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...

class StableAdamW(RuleOptimizer):
    """StableAdamW: AdamW that slows a whole tensor down when its gradient outruns what the square has seen."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.001,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.99),
        eps: float = 1e-06,
        weight_decay: float | Tensor = 0.01,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        clip: float | None = None,
        state_format: str | Int8 | Mapping[str, str | Int8 | None] | None = None,
        weight_format: str | None = None,
        nonfinite: str = "propagate",
    ) -> None: ...
