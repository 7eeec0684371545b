"""A user's program, as a type checker sees it: it is checked with mypy --strict, never run.

A line that must be refused carries an ignore for exactly that error: an ignore that nothing needs is an error itself.
"""

import torch
from torch import Tensor, nn

import zerograd
import zerograd as optim
import zerograd.lr_scheduler
from zerograd import AdamW, Optimizer, RuleOptimizer, from_rule, rule
from zerograd.algebra import sqrt
from zerograd.lr_scheduler import LRScheduler, StepLR
from zerograd.swa_utils import AveragedModel

model = nn.Linear(10, 1)

# torch's own calls
adamw: AdamW = optim.AdamW(model.parameters(), 1e-3, (0.9, 0.95), 1e-8, 0.1, True, foreach=None, fused=True)
base: torch.optim.Optimizer = optim.SGD(model.named_parameters(), lr=torch.tensor(0.1), momentum=0, nesterov=False)
groups: Optimizer = optim.Adam([{"params": list(model.parameters()), "lr": 0.1}], betas=(torch.tensor(0.9), 0.999))
optim.Rprop(model.parameters(), step_sizes=(0, 50))
optim.Adagrad(model.parameters(), 1, 0, 0, 0, 1e-10, None, maximize=True)
optim.LBFGS(model.parameters(), max_iter=4)
optim.Muon([model.weight], adjust_lr_fn=None)
scheduler: LRScheduler = StepLR(adamw, step_size=3)
same: LRScheduler = optim.lr_scheduler.CosineAnnealingLR(base, zerograd.lr_scheduler.StepLR(base, 3).step_size)
averaged: nn.Module = AveragedModel(model)

# the cycle
adamw.zero_grad()
adamw.zero_grad(set_to_none=False)
nothing: None = adamw.step()
loss: float = adamw.step(lambda: 0.5)
adamw.eval()
adamw.train()

# zerograd's own
optim.Lion(model.parameters(), weight_decay=optim.cautious_decay(0.1), maximize=True)
optim.Prodigy(model.parameters(), beta3=None, growth_rate=1.02)
optim.ScheduleFreeAdamW(model.parameters(), warmup_steps=100)
Averaged: type[RuleOptimizer] = from_rule(optim.ema(optim.decoupled(optim.rules.adam)), lr=1e-3)
error: type[Exception] = optim.RuleError


@rule
def root_mean_square(g: Tensor, square_avg: Tensor, *, alpha: float = 0.99) -> tuple[Tensor, Tensor]:
    square_avg = alpha * square_avg + (1 - alpha) * g * g
    return g / sqrt(square_avg), square_avg


RootMeanSquare = from_rule(root_mean_square, lr=1e-2)
RootMeanSquare(model.parameters(), lr=0.1).step()

# what must be refused
optim.AdamW(model.parameters(), learning_rate=1e-3)  # type: ignore[call-arg]
optim.AdamW(model.parameters(), betas=0.9)  # type: ignore[arg-type]
optim.AdamW(model.parameters(), 1e-3, (0.9, 0.999), 1e-8, 0.1, True, False)  # type: ignore[call-arg]
optim.SGD(model.parameters(), amsgrad=True)  # type: ignore[call-arg]
optim.SGD(lr=0.1)  # type: ignore[call-arg]
optim.Adam(model.parameters(), amsgrad=1.0)  # type: ignore[arg-type]
optim.Rprop(model.parameters(), step_sizes=(1e-6, 1.0, 50.0))  # type: ignore[arg-type]
optim.AdamX(model.parameters())  # type: ignore[attr-defined]
adamw.stop()  # type: ignore[attr-defined]
