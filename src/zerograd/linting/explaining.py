"""`--explain`: what was understood of a loop, even where nothing is wrong with it."""

from __future__ import annotations

from zerograd.linting.binding import Binder
from zerograd.linting.checking import functions_of
from zerograd.linting.configuration import Configuration
from zerograd.linting.context import Context
from zerograd.linting.graph import Loop
from zerograd.linting.modules import Files, Module
from zerograd.linting.reading import Source
from zerograd.linting.rules import OF_THE_FLOW
from zerograd.linting.state import BACKWARD, CLEAR, FOREIGN, STEP, UNKNOWN, View

WORDS = {BACKWARD: "backward", FOREIGN: "backward (not its own)", STEP: "step", CLEAR: "zero"}


def explained(source: Source, line: int, configuration: Configuration, files: Files | None = None) -> str:
    """The cycle of the innermost loop around a line, for each optimizer in it. Raises UnreadableError."""
    module = (files or Files()).load(source)
    binder = Binder()
    found = [
        (_size(loop), context, loop)
        for context in functions_of(module, binder)
        for loop in context.graph.all_loops
        if loop.module is module and _first(loop) <= line <= _last(loop) and _has_a_step(context, loop)
    ]
    if found:
        _, context, loop = min(found, key=lambda item: item[:1])
        return _told(f"loop at {_place(source, _first(loop))}", context, loop, module, configuration)
    for context in functions_of(module, binder):
        node = context.function.node if context.function is not None else None
        if node is None or node.lineno <= line <= (node.end_lineno or node.lineno):
            name = context.function.name if context.function is not None else "the module"
            title = f"{name}, which has no loop around {_place(source, line)} with a step in it"
            return _told(title, context, None, module, configuration)
    return f"{source.path}:{_place(source, line, short=True)}: no optimizer steps here, as far as can be told.\n"


def _place(source: Source, line: int, short: bool = False) -> str:
    """A line as a reader counts it; in a notebook within its cell."""
    place = source.place(line)
    if place.cell is None:
        return str(line) if short else f"line {line}"
    return f"cell {place.cell}:{place.line}" if short else f"cell {place.cell} line {place.line}"


def _told(title: str, context: Context, loop: Loop | None, module: Module, configuration: Configuration) -> str:
    lines = [f"{module.source.path}: {title}"]
    for view in context.views:
        nodes = [n for n in _in_order(view) if loop is None or loop in context.graph.loops[n]]
        if not any(view.kinds[node] == STEP for node in nodes):
            continue
        modules = context.binder.modules(view.path)
        owns = f" (parameters of {', '.join(sorted(map(str, modules)))})" if modules else ""
        lines.append(f"  {view.path}{owns}")
        told = [
            f"{WORDS[view.kinds[node]]} {context.line(view.event(node))}" for node in nodes if view.kinds[node] in WORDS
        ]
        unknown = [context.line(view.event(node)) for node in nodes if view.kinds[node] == UNKNOWN]
        lines.append(f"    order: {', '.join(dict.fromkeys(told))}")
        if unknown:
            lines.append(
                f"    not known, so nothing is said of what lies around it: line {', '.join(dict.fromkeys(unknown))}"
            )
        said = _findings(context, view, nodes, configuration)
        lines += [f"    {words}" for words in said] or ["    order OK" if not unknown else "    no mistake seen"]
    return "\n".join(lines) + "\n"


def _findings(context: Context, view: View, nodes: list[int], configuration: Configuration) -> list[str]:
    at = {view.event(node).line for node in nodes}
    said = []
    for code, check in OF_THE_FLOW.items():
        if code in configuration.codes:
            said += [
                f"{finding.severity} {finding.code} {finding.message}"
                for finding, lines in check(context)
                if lines & at and (f"`{view.path}" in finding.message or "`" not in finding.message)
            ]
    return said


def _in_order(view: View) -> list[int]:
    return sorted(view.kinds)


def _has_a_step(context: Context, loop: Loop) -> bool:
    return any(loop in context.graph.loops[node] for node, _ in context.graph.at(STEP))


def _first(loop: Loop) -> int:
    return loop.node.lineno


def _last(loop: Loop) -> int:
    return loop.node.end_lineno or loop.node.lineno


def _size(loop: Loop) -> int:
    return _last(loop) - _first(loop)
