"""Docstrings of optimizer classes, put together from those of the rule and its wrappers.

Every class has the same seven parts: one line, the algorithm, the hyper-parameters, when to use it, the bytes of
state per parameter, the reference, and an example in which the loss falls. The bytes are counted on the graph.
"""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from zerograd.algebra.matrices import MatrixRule
from zerograd.algebra.notation import Rule
from zerograd.algebra.states import Part
from zerograd.algebra.tracing import Graph

if TYPE_CHECKING:
    from zerograd.engine.optimizer import RuleOptimizer

SECTIONS = ("Algorithm", "Hyper-parameters", "When to use", "State", "Reference", "Example")

_FLAGS = {
    "maximize": "climb instead of descend: the gradient is negated first.",
    "differentiable": "let autograd go through the step; slow, for learning hyper-parameters.",
    "foreach": "accepted as in torch; the fastest implementation is chosen without it.",
    "fused": "accepted as in torch; the fastest implementation is chosen without it.",
    "capturable": "accepted as in torch; a step can't be captured in a CUDA graph.",
    "clip": "the largest 2-norm of all gradients together; beyond it all are scaled down, inside the step.",
    "state_format": "how states are stored: None for the parameter's dtype as torch, 'fp32', 'bf16' (rounded "
    "stochastically), 'int8', an Int8, or a mapping from names of states to these; docs/formats.md.",
    "weight_format": "'stochastic' rounds bfloat16 weights up or down at random, so that small updates count.",
    "nonfinite": "gradients with nan or infinities: 'propagate' as torch, 'skip' the step, or 'raise'.",
}

_EXAMPLE = """\
>>> import torch, zerograd as optim
>>> _ = torch.manual_seed(0)
>>> model, loss_fn = torch.nn.Linear(4, 1), torch.nn.MSELoss()
>>> optimizer = optim.{name}(model.parameters())
>>> inputs, targets, losses = torch.randn(32, 4), torch.randn(32, 1), []
>>> for _ in range(20):
...     optimizer.zero_grad()
...     loss = loss_fn(model(inputs), targets)
...     loss.backward()
...     optimizer.step()
...     losses.append(loss.item())
>>> losses[-1] < losses[0]
True
"""


class LazyDocument:
    """The ``__doc__`` of a class, made when somebody reads it: importing an optimizer need not trace anything."""

    def __get__(self, _: object, cls: type[RuleOptimizer]) -> str:
        return document(cls)


def document(cls: type[RuleOptimizer]) -> str:
    """The docstring of an optimizer class."""
    parts = [sections(function) for function in reversed(cls.rule.functions)]  # the rule, then from the inside out
    texts = {
        "Algorithm": _algorithm(cls.rule, parts),
        "Hyper-parameters": _hyper_parameters(cls, parts),
        "When to use": "\n".join(p["When to use"] for p in parts if p.get("When to use")),
        "State": state_bytes(cls.rule),
        "Reference": "\n".join(p["Reference"] for p in parts if p.get("Reference")),
        "Example": _example(cls, parts[0]),
    }
    lines = [_summary(cls.__name__, [part["Summary"] for part in parts]), ""]
    for section in SECTIONS:
        if texts[section]:
            lines += [section, textwrap.indent(texts[section].rstrip(), "    "), ""]
    return "\n".join(lines)


def _example(cls: type[RuleOptimizer], own: dict[str, str]) -> str:
    """The rule's own example, if it does not train just any model, else the usual one; none for a user's class."""
    text = own.get("Example", _EXAMPLE).replace("{name}", cls.__name__)
    return text if cls.__module__ == "zerograd.optim" else ""


def _summary(name: str, summaries: list[str]) -> str:
    """One line: the rule's own or, for a class of another name, what stands around the rule too."""
    title, colon, _ = summaries[0].partition(":")
    if not colon or name == title or len(summaries) == 1:
        return summaries[0]
    around = ", ".join(text.partition(":")[0] for text in summaries[1:])
    return f"{name}: {title} with {around}."


def _algorithm(rule: Rule, parts: list[dict[str, str]]) -> str:
    """The rule's box, then a box for every wrapper with its name: each says when it acts."""
    first, *boxes = [part.get("Algorithm", "") for part in parts]
    names = [function.__name__ for function in reversed(rule.functions)][1:]
    around = [f"{name}, around it\n{textwrap.indent(box, '    ')}" for name, box in zip(names, boxes, strict=True)]
    return "\n".join([first, *around])


def sections(function: Any) -> dict[str, str]:
    """The parts of a rule's or wrapper's docstring: Summary and what stands under each heading."""
    text = inspect.getdoc(function.function) or f"{function.__name__}."
    found: dict[str, list[str]] = {"Summary": []}
    current = "Summary"
    for line in text.splitlines():
        if line.strip() in SECTIONS and not line.startswith(" "):
            current = line.strip()
            found[current] = []
        else:
            found[current].append(line)
    return {name: textwrap.dedent("\n".join(lines)).strip() for name, lines in found.items()}


def _hyper_parameters(cls: type[RuleOptimizer], parts: list[dict[str, str]]) -> str:
    texts = [p["Hyper-parameters"] for p in parts if p.get("Hyper-parameters")]
    texts = [text for text in texts if not text.startswith("none of its own")]
    if not any(text.startswith("lr:") for text in texts):
        texts.insert(0, "lr: the learning rate.")
    flags = [f"{name}: {_FLAGS[name]}" for name in cls.order if name in _FLAGS]
    return "\n".join([*texts, *flags])


def state_bytes(rule: Rule) -> str:
    """What a parameter's state costs in float32 at the defaults, and what each flag adds; from the traced graph."""
    if isinstance(rule, MatrixRule):
        return _stack_bytes(rule)
    plain = {"lr": 0.1, **rule.hypers}
    base = Graph(rule, plain).tensor_states
    lines = [f"{_bytes(base)} a parameter in float32{_names(base)}."]
    for name, value in rule.hypers.items():
        if value is False or (not isinstance(value, bool) and value == 0):
            changed = True if value is False else 0.5
            added = tuple(n for n in Graph(rule, {**plain, name: changed}).tensor_states if n not in base)
            if added:
                lines.append(f"{name} adds {_bytes(added)}{_names(added)}.")
    return "\n".join(lines)


_EACH = {"rows": "a row of a matrix", "columns": "a column of a matrix", "vector": "a parameter of a vector"}


def _stack_bytes(rule: MatrixRule) -> str:
    """The same for a rule on whole matrices: from how its states start."""
    parts = {name: spec.name for name, spec in rule.states.items() if isinstance(spec, Part)}
    whole = tuple(name for name in rule.states if name not in parts)
    lines = [f"{_bytes(whole)} a parameter in float32{_names(whole)}."] if whole or not parts else []
    return "\n".join([*lines, *(f"4 bytes {_EACH[part]} in float32 ({name})." for name, part in parts.items())])


def _bytes(names: tuple[str, ...]) -> str:
    return f"{4 * len(names)} bytes" if names else "0 bytes"


def _names(names: tuple[str, ...]) -> str:
    return f" ({', '.join(names)})" if names else ""
