"""Dividing: which parameters of a step a kernel serves, for which a gradient is copied, and which go the eager way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from zerograd.engine import admission
from zerograd.engine.coding import any_codes
from zerograd.engine.programs import Program
from zerograd.engine.state_formats import Choices, held_forms
from zerograd.formats.blocks import scales_key
from zerograd.formats.layout import Layout
from zerograd.formats.memory import span
from zerograd.formats.plain import Format
from zerograd.formats.stochastic import WEIGHT_FORMATS
from zerograd.kernels.cpu.kernel import Kernel

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

_NOTHING: Mapping[str, Any] = {}

# For a step that will not come again: finding out whether a kernel may touch a tensor costs about as much time as
# reading and writing this many elements once more, and the kernel's table as much as eight tensors.
GATE = 32_768


@dataclass
class Share:
    """What one backend serves of one group. grads: of each parameter, as they are read.

    choices: of formats for states, if they are not all as torch has them. layouts, kernels: of each
    parameter, where a compiled kernel serves them. copied: whether the gradients are copies.
    """

    index: int
    live: list[Tensor]
    grads: list[Tensor]
    hypers: Mapping[str, Any]
    program: Program
    choices: Choices | None = None
    layouts: list[Layout] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    copied: bool = False

    def add(self, p: Tensor, g: Tensor, layout: Layout | None = None, kernel: Kernel | None = None) -> None:
        """Take a parameter in."""
        self.live.append(p)
        self.grads.append(g)
        if layout is not None and kernel is not None:
            self.layouts.append(layout)
            self.kernels.append(kernel)


@dataclass
class _Candidate:
    """A parameter that a kernel could serve, unless its memory is another's too. copy: of an oddly laid gradient."""

    share: Share
    p: Tensor
    g: Tensor
    copy: Tensor | None
    layout: Layout
    kernel: Kernel


def divided(optimizer: RuleOptimizer, shares: Sequence[Share]) -> list[Share]:
    """The shares of each backend: what passes the gate goes to a compiled kernel, the rest the eager way.

    A gradient that lies otherwise than its parameter (transposed, expanded, lazily negated) is copied once.
    """
    weights = WEIGHT_FORMATS[optimizer.weight_format]
    kernels: dict[tuple[int, int], Kernel | None] = {}
    found: list[_Candidate | tuple[Share, Tensor, Tensor]] = []
    written: list[tuple[int, int, int]] = []
    read: list[tuple[int, int, int]] = []
    for share in shares:
        program, names = share.program, share.program.graph.tensor_states
        choices = share.choices
        for p, g in zip(share.live, share.grads, strict=True):
            states: list[tuple[str, Tensor | None]] = []
            held = _NOTHING
            if names:
                held = optimizer.state.get(p, _NOTHING)
                states = [(name, held.get(name)) for name in names]
            forms: Sequence[Format | None] = ()
            if names and (choices is not None or any_codes([state for _, state in states])):
                forms = held_forms(held, p, choices, names, type(optimizer).__name__)
            copy: Tensor | None = None
            layout = admission.layout_of(p, g, states, weights, forms)
            if layout is None and (copy := admission.relaid(p, g)) is not None:
                layout = admission.layout_of(p, copy, states, weights, forms)
            scales = [held.get(scales_key(name, form)) for name, form in layout.blocks] if layout is not None else []
            if not all(one is None or (one.is_contiguous() and admission.is_memory(one)) for one in scales):
                layout = None
            kernel = None
            if layout is not None:
                key = (id(program), id(layout))
                if key not in kernels:
                    kernels[key] = program.kernel(layout)
                kernel = kernels[key]
            if layout is None or kernel is None:
                found.append((share, p, g))
                written += admission.reach(p, -1)
                read += admission.reach(g, -1)
                continue
            owner = len(found)
            found.append(_Candidate(share, p, g, copy, layout, kernel))
            numel, start = p.numel(), p.data_ptr()
            written.append((start, start + numel * p.element_size(), owner))
            for _, state in states:
                if state is not None:
                    start = state.data_ptr()
                    written.append((start, start + numel * state.element_size(), owner))
            written += [(*span(one), owner) for one in scales if one is not None]
            if copy is None:
                start = g.data_ptr()
                read.append((start, start + numel * g.element_size(), owner))
            else:
                read += admission.reach(g, owner)
    refused = admission.overlapping(written, read)
    return _sorted(optimizer, found, refused)


def eagerly(optimizer: RuleOptimizer, shares: Sequence[Share]) -> list[Share]:
    """All of the shares the eager way."""
    programs = [optimizer._programs(optimizer.param_groups[one.index]).find(one.hypers) for one in shares]
    return [
        Share(o.index, o.live, o.grads, o.hypers, program, o.choices)
        for o, program in zip(shares, programs, strict=True)
    ]


def _sorted(
    optimizer: RuleOptimizer, found: Sequence[_Candidate | tuple[Share, Tensor, Tensor]], refused: set[int]
) -> list[Share]:
    """The shares of those that were found, by group and by who serves them; copies are made here."""
    divided: dict[tuple[int, str], Share] = {}
    copies: list[Tensor] = []
    sources: list[Tensor] = []
    for number, one in enumerate(found):
        if isinstance(one, _Candidate) and number not in refused:
            share, way = one.share, "direct" if one.copy is None else "copied"
        else:
            share, way = (one.share if isinstance(one, _Candidate) else one[0]), "eager"
        to = divided.get((share.index, way))
        if to is None:
            program = share.program
            if way == "eager":
                program = optimizer._programs(optimizer.param_groups[share.index]).find(share.hypers)
            to = divided[share.index, way] = Share(
                share.index, [], [], share.hypers, program, share.choices, copied=way == "copied"
            )  # fmt: skip
        if way == "eager":
            to.add(*((one.p, one.g) if isinstance(one, _Candidate) else one[1:]))
            continue
        assert isinstance(one, _Candidate)
        if one.copy is not None:
            copies.append(one.copy)
            sources.append(one.g)
        to.add(one.p, one.g if one.copy is None else one.copy, one.layout, one.kernel)
    for copy, source in zip(copies, sources, strict=True):
        copy.copy_(source)
    return list(divided.values())


def heavy(shares: Sequence[Share]) -> bool:
    """Whether what kernels save is worth looking at each tensor, if only for this step: passes over memory, and lists
    of a tensor each where every parameter has a step number of its own."""
    if any(one.program.graph.reads_t for one in shares):
        return True
    if not shares:
        return False
    further = max(one.program.operations for one in shares) - 2  # a kernel and a scaled sum read and write once
    if further <= 0:
        return False
    elements = sum([p.numel() for one in shares for p in one.live])
    return elements * further > GATE * (8 + sum(len(one.live) for one in shares))
