"""A layout: the formats of everything that a kernel reads and writes. It is part of the kernel's name."""

from __future__ import annotations

from dataclasses import dataclass

from zerograd.formats.blocks import BlockFormat
from zerograd.formats.plain import FP32, FP64, Format


@dataclass(frozen=True)
class Layout:
    """Formats of the weight, of its gradient and of each tensor state, in the order of the signature."""

    weight: Format
    grad: Format
    states: tuple[tuple[str, Format], ...]

    @property
    def double(self) -> bool:
        """Whether the step is computed in float64: if anything is stored so."""
        return any(one == FP64 for one in (self.weight, self.grad, *(form for _, form in self.states)))

    @property
    def buffers(self) -> tuple[tuple[str, Format], ...]:
        """The tensors of a parameter in the order of the pointer table; those without a state's name are p and g."""
        named = [(f"state {name}", form) for name, form in self.states]
        return (("p", self.weight), ("g", self.grad), *named, *((f"scales {name}", FP32) for name, _ in self.blocks))

    @property
    def blocks(self) -> tuple[tuple[str, BlockFormat], ...]:
        """The states that are stored in groups: each has scales too, which come after all states."""
        return tuple((name, form) for name, form in self.states if isinstance(form, BlockFormat))

    @property
    def own_forms(self) -> tuple[Format | None, ...]:
        """The states' formats."""
        return tuple(form for _, form in self.states)

    @property
    def noisy(self) -> bool:
        """Whether anything is rounded stochastically."""
        return any(form.stochastic for _, form in self.buffers)

    def __str__(self) -> str:
        states = ", ".join(f"{name} {form.name}" for name, form in self.states)
        return f"p {self.weight.name}, g {self.grad.name}{', ' if states else ''}{states}"
