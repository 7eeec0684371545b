"""What an optimizer does with each of its tensors: how states are stored, what runs the step, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from zerograd.algebra.tracing import Graph
from zerograd.engine import admission
from zerograd.engine.coding import held_form
from zerograd.engine.dtensors import has_dtensor
from zerograd.engine.matrix_buckets import shape_of
from zerograd.engine.programs import MatrixProgram, Program
from zerograd.engine.state_formats import Choice, Choices, held_forms
from zerograd.formats.blocks import BlockFormat, scales_shape
from zerograd.formats.plain import Format
from zerograd.formats.stochastic import WEIGHT_FORMATS
from zerograd.lifecycle.ownership import names_of

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

KERNEL, TORCH = "compiled kernel", "torch's operations"


@dataclass(frozen=True)
class StateRow:
    """One state of one parameter. bytes: of all its elements, scales included. why: it is stored so. exists: whether
    it is there already; else it will be at the first step."""

    name: str
    format: str
    bytes: int
    why: str
    exists: bool


@dataclass(frozen=True)
class ParameterRow:
    """One parameter. format: of the weight. backend: what will take its next step, a gradient like it given; why: if
    that is not a compiled kernel."""

    name: str
    group: int
    shape: tuple[int, ...]
    elements: int
    format: str
    bytes: int
    states: tuple[StateRow, ...]
    backend: str
    why: str

    @property
    def kind(self) -> tuple[Any, ...]:
        """What rows have in common that are told as one."""
        return (self.group, self.shape, self.format, self.states, self.backend, self.why)


@dataclass(frozen=True)
class Description:
    """What ``describe`` found. ``str()`` is a table for people, ``as_object()`` dictionaries and lists for programs."""

    optimizer: str
    parameters: tuple[ParameterRow, ...]

    @property
    def elements(self) -> int:
        """Of all parameters."""
        return sum(row.elements for row in self.parameters)

    @property
    def state_bytes(self) -> int:
        """Of all tensor states, scales included; numbers of a parameter, such as its step, left out."""
        return sum(state.bytes for row in self.parameters for state in row.states)

    @property
    def bytes_per_parameter(self) -> float:
        """Bytes of state for one element of a parameter, over the whole model."""
        return self.state_bytes / max(1, self.elements)

    def as_object(self) -> dict[str, Any]:
        """The same for programs: what JSON can hold."""
        totals = {
            "elements": self.elements,
            "weight_bytes": sum(row.bytes for row in self.parameters),
            "state_bytes": self.state_bytes,
            "bytes_per_parameter": round(self.bytes_per_parameter, 4),
        }
        rows = [{**asdict(row), "shape": list(row.shape)} for row in self.parameters]
        return {"optimizer": self.optimizer, **totals, "parameters": rows}

    def short(self) -> list[str]:
        """A few lines for the repr: each state's formats, and the backends."""
        lines = []
        for name in dict.fromkeys(state.name for row in self.parameters for state in row.states):
            of = Counter(s.format for row in self.parameters for s in row.states if s.name == name)
            lines.append(f"{name}: {_counted(of)}")
        if self.state_bytes:
            lines.append(f"bytes of state a parameter: {self.bytes_per_parameter:.2f}")
        return [*lines, f"backend: {_counted(Counter(row.backend for row in self.parameters))}"]

    def __str__(self) -> str:
        counts = Counter(row.kind for row in self.parameters)
        shown = {row.kind: row for row in reversed(self.parameters)}
        table = [("parameter", "shape", "weight", "states", "bytes", "backend")]
        for kind, count in counts.items():
            row = shown[kind]
            name = row.name if count == 1 else f"{row.name} and {count - 1} like it"
            states = ", ".join(f"{s.name} {s.format}" for s in row.states) or "-"
            size = sum(s.bytes for s in row.states)
            table.append(
                (name, _shape(row.shape), row.format, states, f"{size / max(1, row.elements):.2f}", row.backend)
            )
        widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
        ]
        weights = sum(row.bytes for row in self.parameters)
        head = (
            f"{self.optimizer}: {len(self.parameters)} parameters of {self.elements:,} elements, "
            f"{_megabytes(weights)} of weights, {_megabytes(self.state_bytes)} of states "
            f"({self.bytes_per_parameter:.2f} bytes an element)"
        )
        return "\n".join([head, "", *lines, *self._reasons(shown, counts)]) + "\n"

    def _reasons(self, shown: Mapping[Any, ParameterRow], counts: Mapping[Any, int]) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for kind in counts:
            row = shown[kind]
            for state in row.states:
                reasons.setdefault(f"{state.name} {state.format}: {state.why}", []).append(_shape(row.shape))
            if row.why:
                reasons.setdefault(f"{row.backend}: {row.why}", []).append(_shape(row.shape))
        found = [f"{reason}  [{', '.join(dict.fromkeys(shapes))}]" for reason, shapes in reasons.items()]
        return ["", "why", *(f"  {line}" for line in found)] if found else []


def _counted(of: Mapping[str, int]) -> str:
    return ", ".join(f"{what} ({count})" for what, count in of.items())


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.2f} MB" if size >= 10_000 else f"{size} bytes"


def describe(optimizer: RuleOptimizer, model: Any = None) -> Description:
    """How an optimizer stores and updates each of its tensors: format, bytes, backend, and the reason of each.

    optimizer: one of zerograd's. model: for the names of its parameters. Nothing is made or changed: states that do not
    exist yet are told as they will start. Raises TypeError for any other optimizer.

    >>> import torch, zerograd
    >>> model = torch.nn.Linear(128, 64)
    >>> optimizer = zerograd.AdamW(model.parameters(), state_format="int8")
    >>> found = zerograd.describe(optimizer, model)
    >>> [(row.name, row.states[1].format, row.states[1].why) for row in found.parameters]
    [('weight', 'int8 ubmf44', 'never below zero'), ('bias', 'float32', 'fewer than 4,096 elements')]
    """
    from zerograd.engine.optimizer import RuleOptimizer

    if not isinstance(optimizer, RuleOptimizer):
        raise TypeError(
            f"describe(): {type(optimizer).__name__} is not one of zerograd's optimizers; only those know formats"
        )
    names = names_of(optimizer, model)
    rows = []
    for index, group in enumerate(optimizer.param_groups):
        program = optimizer._programs(group).find(optimizer._hypers(group), whole=optimizer.rule.elementwise)
        choices = optimizer._state_choices.of(group, program.graph)
        rows += [_row(optimizer, index, p, names[id(p)], program, choices) for p in group["params"]]
    return Description(type(optimizer).__name__, tuple(rows))


def represented(optimizer: RuleOptimizer) -> str:
    """The repr: torch's, and below the groups what torch does not have and the short form of ``describe``."""
    groups = torch.optim.Optimizer.__repr__(optimizer)
    try:
        lines = [*_extras(optimizer), *describe(optimizer).short()]
    except Exception:  # in the middle of being made or mended: what torch says is all there is to say
        return groups
    return "\n".join([groups.removesuffix("\n)"), "", *(f"    {line}" for line in lines), ")"])


def _extras(optimizer: RuleOptimizer) -> list[str]:
    """What the constructor was given beyond torch's arguments and what stands in the groups."""
    given = {"clip": optimizer.clip and optimizer.clip.limit, "weight_format": optimizer.weight_format}
    told = [f"{name}: {value}" for name, value in given.items() if value is not None]
    return told if optimizer.nonfinite == "propagate" else [*told, f"nonfinite: {optimizer.nonfinite}"]


def _row(
    optimizer: RuleOptimizer, index: int, p: Tensor, name: str, program: Program, choices: Choices | None
) -> ParameterRow:
    held: Mapping[str, Any] = optimizer.state.get(p, {})
    graph = program.graph
    told = (
        choices.of(p)
        if choices is not None
        else [Choice(None, "the parameter's dtype, as in torch")] * len(graph.tensor_states)
    )
    states = []
    for state, choice in zip(graph.tensor_states, told, strict=True):
        shape = shape_of(program, state, p)
        if shape is not None:
            states.append(_state(held, state, choice, p, shape, type(optimizer).__name__))
    weight = _weight(optimizer, p)
    backend, why = _backend(optimizer, p, program, choices, held)
    return ParameterRow(
        name, index, tuple(p.shape), p.numel(), weight, p.numel() * p.element_size(), tuple(states), backend, why
    )


def _state(
    held: Mapping[str, Any], name: str, choice: Choice, p: Tensor, shape: Sequence[int], optimizer: str
) -> StateRow:
    form: Format | None = held_form(held, name, choice.form, optimizer)
    tensor = held.get(name)
    exists = isinstance(tensor, Tensor)
    dtype = tensor.dtype if isinstance(tensor, Tensor) else form.dtype if form is not None else p.dtype
    size = torch.Size(shape).numel() * dtype.itemsize
    if isinstance(form, BlockFormat):
        rows, groups = scales_shape(p.shape)
        size += 4 * rows * groups
    why = choice.why if form == choice.form else "as it was loaded or assigned"
    return StateRow(name, _form(form, dtype), size, why, exists)


def _form(form: Format | None, dtype: torch.dtype) -> str:
    plain = str(dtype).removeprefix("torch.")
    if isinstance(form, BlockFormat):
        return f"int8 {form.name}"
    return f"{plain} stochastic" if form is not None and form.stochastic else plain


def _weight(optimizer: RuleOptimizer, p: Tensor) -> str:
    form = WEIGHT_FORMATS[optimizer.weight_format].get(p.dtype)
    return _form(form if form is not None and form.stochastic else None, p.dtype)


def _backend(
    optimizer: RuleOptimizer, p: Tensor, program: Program, choices: Choices | None, held: Mapping[str, Any]
) -> tuple[str, str]:
    """What takes the next step of a parameter, and why it is no kernel."""
    if isinstance(program, MatrixProgram):
        return TORCH, "a rule on whole matrices"
    if optimizer.defaults.get("differentiable"):
        return TORCH, "differentiable=True"
    if has_dtensor(p):
        return TORCH, "sharded: each process updates its own part"
    if not p.is_cpu:
        return TORCH, f"no kernel for {p.device.type}"
    graph: Graph = program.graph
    states = [(name, held.get(name)) for name in graph.tensor_states]
    forms = held_forms(held, p, choices, graph.tensor_states, type(optimizer).__name__)
    layout = admission.layout_of(p, p.detach(), states, WEIGHT_FORMATS[optimizer.weight_format], forms)
    if layout is None:
        blocks = any(isinstance(form, BlockFormat) for form in forms)
        return TORCH, "8-bit states of a parameter that is not contiguous" if blocks else "memory with gaps or overlaps"
    if layout in program.reasons:
        return TORCH, program.reasons[layout]
    return KERNEL, ""
