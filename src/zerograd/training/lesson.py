"""What zero_grad is for: the same descent twice, once without it, seen through one number of the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from zerograd.training.loop import gradient_norm, switch_to
from zerograd.training.session import Run
from zerograd.training.tally import Tally


@dataclass(frozen=True)
class Weight:
    """One number among the model's weights."""

    parameter: str
    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.parameter}[{self.row}, {self.column}]"

    def read(self, gradient: Tensor | None) -> float:
        """Its number in a gradient; a parameter that has no gradient yet counts as 0."""
        return 0.0 if gradient is None else gradient[self.row, self.column].item()


@dataclass(frozen=True)
class Accumulation:
    """What one backward did to the gradient of one weight: ``before + fresh`` is ``after``."""

    before: float
    """What `.grad` held when backward was called."""
    fresh: float
    """The gradient of this step's loss, computed apart by torch.autograd.grad."""
    after: float
    """What `.grad` held when backward had returned."""


@dataclass
class Descent:
    """What one epoch of a descent gave."""

    epoch: int
    tally: Tally = field(default_factory=Tally)
    accumulations: list[Accumulation] = field(default_factory=list)


def descend(run: Run, weight: Weight, *, forget_zero_grad: bool) -> Iterator[Descent]:
    """The training loop, with a look at ``weight`` before and after every backward."""
    model, optimizer, loss_fn = run.model, run.optimizer, run.job.loss
    parameter = model.get_parameter(weight.parameter)

    switch_to("train", model, optimizer)
    for epoch in range(1, run.epochs + 1):
        descent = Descent(epoch)
        for inputs, targets in run.batches.epoch(epoch):
            if not forget_zero_grad:
                optimizer.zero_grad()
            outputs = model(inputs)
            loss = loss_fn(outputs, targets)
            before = weight.read(parameter.grad)
            (fresh,) = torch.autograd.grad(loss, parameter, retain_graph=True)
            loss.backward()  # type: ignore[no-untyped-call]
            after = weight.read(parameter.grad)
            optimizer.step()
            descent.accumulations.append(Accumulation(before, weight.read(fresh), after))
            descent.tally.add(loss.item(), outputs, targets)
            descent.tally.add_step(gradient_norm(model))
        yield descent
    switch_to("eval", model, optimizer)


def steepest_weight(run: Run) -> Weight:
    """The weight whose gradient is the largest at the start: a good one to watch, as it is not 0."""
    matrices = {name: p for name, p in run.model.named_parameters() if p.dim() == 2}
    inputs, targets = run.batches.whole
    loss = run.job.loss(run.model(inputs), targets)
    gradients = torch.autograd.grad(loss, list(matrices.values()))
    name, gradient = max(zip(matrices, gradients, strict=True), key=lambda pair: pair[1].abs().max().item())
    row, column = divmod(int(gradient.abs().argmax()), gradient.shape[1])
    return Weight(name, row, column)
