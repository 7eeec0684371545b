"""Two optimizers side by side on the same gradients: parameters that lack one, join late or never get one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import torch
from torch import Tensor

from laws.table import Config, Row, label
from zerograd.algebra.states import Scalar

PARAMETERS = 6
NUMBER, ZERO_AT_FIRST = 2, 5  # a 0-dim tensor; one of zeros, as biases are: its norm is 0 in the first step


def shapes(row: Row, config: Config) -> list[tuple[int, ...]]:
    """Random shapes of up to three dimensions, the same for a configuration in every run."""
    random = Random(label((row, config)))
    found = [tuple(random.randint(1, 5) for _ in range(random.randint(1, 3))) for _ in range(PARAMETERS)]
    found[NUMBER] = () if row.takes == "anything" else (2,)
    if not row.optimizer.rule.elementwise:
        found[NUMBER] = found[ZERO_AT_FIRST]  # two of one shape, for a stack of them
    return found


def gradient(step: int, index: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor | None:
    """Noise with a steady part, of a different scale for each parameter, with exact zeros now and then."""
    g = (torch.randn(shape, generator=generator, dtype=torch.float64) + 0.7) * (0.3 + index)
    if step % 7 == 3:
        g = torch.where(torch.rand(shape, generator=generator) < 0.3, 0.0, g)
    missing = (index == 1 and step % 3 == 0) or (index == 3 and step < 6) or index == 4
    return None if missing else g


def rows(g: Tensor) -> Tensor:
    """Every other row of a gradient, the last one twice: sparse, as an embedding's gradient is."""
    index = torch.tensor([*range(0, len(g), 2), len(g) - 1])
    return torch.sparse_coo_tensor(index[None], g[index], g.shape, check_invariants=True)


class Pair:
    """A reference in float64 and zerograd's optimizer in ``dtype``, with two groups that differ in lr and decay."""

    def __init__(
        self, row: Row, config: Config, dtype: torch.dtype = torch.float64, *, maximize: bool = False,
        optimizer: type[Any] | None = None, reference_dtype: torch.dtype = torch.float64,
    ) -> None:  # fmt: skip
        self.row, self.dtype = row, dtype
        self.generator = torch.Generator().manual_seed(1)
        start = [
            torch.randn(shape, generator=self.generator, dtype=torch.float64).to(dtype) for shape in shapes(row, config)
        ]
        start[ZERO_AT_FIRST].zero_()
        self.reference_params = [x.to(reference_dtype, copy=True).requires_grad_() for x in start]
        self.params = [x.clone().requires_grad_() for x in start]
        self.reference = row.make_reference(self._groups(self.reference_params, config), maximize=maximize, **config)
        make = optimizer or row.optimizer
        self.ours = make(self._groups(self.params, config), maximize=maximize, **config)
        self.steps = 0

    def _groups(self, params: list[Tensor], config: Config) -> list[dict[str, Any]]:
        second: dict[str, Any] = {"params": params[2:], "lr": config["lr"] * (1.0 if self.row.one_lr else 0.5)}
        if config.get("weight_decay"):
            second["weight_decay"] = config["weight_decay"] / 2
        return [{"params": params[:2], "lr": config["lr"]}, second]

    def scale_lr(self, factor: float) -> None:
        for group in [*self.reference.param_groups, *self.ours.param_groups]:
            group["lr"] *= factor

    def step(self) -> None:
        """One step of both on the same gradients, rounded to the dtype under test."""
        sparse = self.row.takes == "sparse"
        for index, (x, y) in enumerate(zip(self.reference_params, self.params, strict=True)):
            g = gradient(self.steps, index, tuple(x.shape), self.generator)
            y.grad = None if g is None else (rows(g) if sparse else g).to(self.dtype)
            x.grad = None if y.grad is None else y.grad.to(x.dtype)
        self.reference.step()
        self.ours.step()
        self.steps += 1

    def transplant(self) -> None:
        """Make the reference start from where ours is, or rather both from the reference's rounded state."""
        for x, y in zip(self.reference_params, self.params, strict=True):
            with torch.no_grad():
                y.copy_(x)
                x.copy_(y)
            ours = self.ours.state[y]
            ours.clear()
            for name, value in self.reference.state.get(x, {}).items():
                if isinstance(value, Tensor) and not self._is_number(name):
                    ours[name] = value.to(self.dtype).clone()
                    self.reference.state[x][name] = ours[name].to(x.dtype).clone()
                elif value is not None:
                    ours[name] = torch.tensor(float(value), dtype=torch.float64)
        if self.steps:  # how they start is ours to find out
            for name, theirs, group in self._shared():
                group[name] = theirs[name]

    def _shared(self) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """(name, the reference's group, ours) of the scalar states that a group holds."""
        for theirs, group in zip(self.reference.param_groups, self.ours.param_groups, strict=True):
            for name, spec in self.ours.rule.states.items():
                if isinstance(spec, Scalar) and spec.per != "tensor":
                    yield name, theirs, group

    def _is_number(self, name: str) -> bool:
        return name == "step" or isinstance(self.ours.rule.states.get(name), Scalar)

    def values(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(where, the reference's, ours) for every parameter and state; the states' names must be the same."""
        for i, (x, y) in enumerate(zip(self.reference_params, self.params, strict=True)):
            yield f"parameter {i}", x.detach(), y.detach()
            theirs = {k: v for k, v in self.reference.state.get(x, {}).items() if v is not None}
            ours = self.ours.state.get(y, {})
            stepped = x.grad is not None or float(theirs.get("step", 1)) > 0
            if not stepped or (not ours and self.row.name == "Adagrad"):
                continue  # torch's Adagrad makes its state before the first gradient
            kept = {k for k in theirs if k != "step" or self.ours.keeps_step}
            assert set(ours) == kept, f"state names: {sorted(ours)}, the reference has {sorted(kept)}"
            for name in sorted(kept):
                yield f"{name} of {i}", torch.as_tensor(theirs[name]), torch.as_tensor(ours[name])
        if self.steps:
            for name, group_theirs, group in self._shared():
                yield name, torch.as_tensor(float(group_theirs[name])), torch.as_tensor(float(group[name]))


def worst(pair: Pair, scale: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, str]:
    """The largest difference over all values, in units of ``scale(reference, before)``, and where it is."""
    found = (0.0, "")
    for name, theirs, ours in pair.values():
        exact, got = theirs.double(), ours.double()
        assert torch.isfinite(exact).all(), f"{name} of the reference is not finite"
        if not torch.isfinite(got).all():
            return float("inf"), name
        if exact.numel():
            found = max(found, (((exact - got).abs() / scale(exact, got)).max().item(), name))
    return found


def relative(exact: Tensor, _: Tensor) -> Tensor:
    """Differences relative to the value, or to 1e-3 where it is smaller: near zero only the absolute size matters."""
    return exact.abs() + 1e-3
