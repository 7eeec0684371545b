"""The page about a rule: its box, the advice, what a step costs, and the kernel that it becomes."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from typing import Any

from zerograd.algebra.notation import RuleFunction
from zerograd.describing.pricing import StepCost, step_cost
from zerograd.describing.screen import Part
from zerograd.describing.subjects import Subject, subject
from zerograd.engine.documentation import SECTIONS, document, state_bytes
from zerograd.errors import UsageError
from zerograd.formats.plain import PLAIN, Format
from zerograd.kernels.cpu import machine
from zerograd.kernels.cpu.kernel import Kernel

FORMATS = {one.name: one for one in PLAIN.values()}
_NO_KERNEL = "It runs as PyTorch's operations on whole matrices, small ones of one shape together; there is no kernel."
ADVICE = ("Algorithm", "Hyper-parameters", "When to use", "Reference")


def rule_page(name: str, dtype: str, *, kernel: bool = True, assembly: bool = False) -> list[Part]:
    """What there is to say about an optimizer or a rule. dtype: the format of all its tensors.

    Raises UsageError for a name that means nothing. No step is taken.
    """
    if dtype not in FORMATS:
        raise UsageError(f"There is no format {dtype!r}. Valid names: {', '.join(FORMATS)}.")
    found, form = subject(name), FORMATS[dtype]
    summary, advice = _advice(found)
    parts = [Part(f"{found.cls.__name__}: {found.cls.rule.name}", summary)]
    parts += [_box(function) for function in reversed(found.cls.rule.functions)]  # the rule, then outwards
    parts += [Part(section, advice[section]) for section in ADVICE if advice.get(section)]
    if not found.cls.rule.elementwise:
        return [*parts, Part("What a step costs", f"{state_bytes(found.cls.rule)}\n{_NO_KERNEL}")]
    cost = step_cost(found.graph, found.layout(form), found.program.prelude.nodes)
    parts.append(Part(f"What a step costs, all in {dtype}", cost_text(cost, found)))
    return [*parts, *(_kernel(found, form, assembly) if kernel else [_how_to_see_it(name, dtype)])]


# --------------------------------------------------------------------------------------------------------- the box


def _box(function: RuleFunction) -> Part:
    """The source of a rule or wrapper, without its docstring: that is the advice."""
    plain = function.function
    try:
        lines, start = inspect.getsourcelines(plain)
    except (OSError, TypeError):
        return Part(f"The box of {function.__name__}", "Its source is not in a file.")
    file = inspect.getsourcefile(plain) or plain.__code__.co_filename
    near = os.path.relpath(file) if os.path.abspath(file).startswith(os.getcwd() + os.sep) else file
    source = without_docstring(textwrap.dedent("".join(lines)))
    return Part(f"The box of {function.__name__} ({near}:{start})", source, "python")


def without_docstring(source: str) -> str:
    """The source of a function without its docstring; anything else as it is."""
    try:
        (definition,) = ast.parse(source).body
    except (SyntaxError, ValueError):  # a lambda in the middle of something
        return source
    if not isinstance(definition, ast.FunctionDef) or ast.get_docstring(definition, clean=False) is None:
        return source
    first, *rest = definition.body
    lines = source.splitlines(keepends=True)
    if not rest or first.end_lineno is None or rest[0].lineno <= first.end_lineno:
        return source
    return "".join([*lines[: first.lineno - 1], *lines[first.end_lineno :]])


# ------------------------------------------------------------------------------------------------------ the advice


def _advice(found: Subject) -> tuple[str, dict[str, str]]:
    """The first line of the class's documentation, and what stands under each heading."""
    sections: dict[str, list[str]] = {"": []}
    current = ""
    for line in document(found.cls).splitlines():
        if line in SECTIONS:
            current = line
            sections[current] = []
        else:
            sections[current].append(line)
    texts = {name: textwrap.dedent("\n".join(lines)).strip() for name, lines in sections.items()}
    return texts.pop(""), texts


# ------------------------------------------------------------------------------------------------------- the costs


def cost_text(cost: StepCost, found: Subject) -> str:
    """The costs in words, a line each."""
    states = f": {', '.join(cost.states)}" if cost.states else ""
    lines = [f"state    {_count(len(cost.states), 'tensor')}, {cost.state_bytes} bytes a parameter{states}"]
    if cost.scalars:
        lines.append(f"         and {_count(len(cost.scalars), 'number')} beside it: {', '.join(cost.scalars)}")
    lines += [f"         in fp32 {line}" for line in state_bytes(found.cls.rule).splitlines()[1:]]
    lines.append(
        f"memory   {_count(len(cost.passes), 'pass', 'passes')}, "
        f"{cost.bytes_read} bytes read and {cost.bytes_written} written for each element"
    )
    for number, one in enumerate(cost.passes, start=1):
        doing = [f"reads {_names(one.reads)}"] if one.reads else []
        doing += [f"writes {_names(one.writes)}"] if one.writes else []
        doing += [f"adds up {', '.join(one.sums)}"] if one.sums else []
        lines.append(f"         pass {number}: {'; '.join(doing) or 'nothing'}")
    late = f", and {cost.late} more for each tensor between the passes" if cost.late else ""
    lines.append(f"host     {_count(cost.host, 'number')} computed once a step, in float64{late}")
    return "\n".join(lines)


def _names(buffers: tuple[str, ...]) -> str:
    return ", ".join(name.removeprefix("state ") for name in buffers)


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


# ------------------------------------------------------------------------------------------------------ the kernel


def _kernel(found: Subject, form: Format, assembly: bool) -> list[Part]:
    """The kernel's text, pass by pass; the reason where this machine can't make it."""
    parts: list[Part] = []
    try:
        functions: Any = Kernel(found.graph, found.layout(form), found.program.prelude.nodes).functions
        for number, function in enumerate(functions, start=1):
            which = f"The kernel, pass {number} of {len(functions)}" if len(functions) > 1 else "The kernel"
            parts.append(Part(f"{which}, in LLVM's language", function.source, "llvm"))
            if assembly:
                text = machine.assembly(function.source)
                parts.append(Part(f"{which}, in machine code for {machine.processor()}", text, "gas"))
    except machine.CodeError as error:
        return [Part("The kernel", f"There is none on this machine: {error}.\nA step runs as PyTorch's operations.")]
    return parts


def _how_to_see_it(name: str, dtype: str) -> Part:
    return Part("The kernel", f"zerograd show {name} --dtype {dtype}")
