"""One function, with the graph of all it does, as the rules see it."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, wraps

from zerograd.hazards import Severity, find
from zerograd.linting.activations import Activation
from zerograd.linting.binding import Binder, is_made
from zerograd.linting.finding import Finding
from zerograd.linting.flow import Flow
from zerograd.linting.graph import Event, Graph, Loop
from zerograd.linting.modules import Module
from zerograd.linting.paths import Path, frame_of
from zerograd.linting.scopes import Function, Scope
from zerograd.linting.state import CLEAR, STEP, View, related
from zerograd.stand_ins import Any, Literal, TypeVar, dataclass, field

WORK = 30_000
"""So many expressions are looked at in one file; the functions after that are not checked."""

Sort = Literal["modulo", "boundary", "other"]
"""What a condition means for the iterations of a loop."""
T = TypeVar("T")

Told = tuple[Finding, frozenset[int]]
"""A finding, and the lines of its file on which a comment counts for it."""


@dataclass
class Context:
    """A function (or the module itself, where ``function`` is None)."""

    module: Module
    function: Function | None
    scope: Scope
    body: Sequence[ast.stmt]
    graph: Graph
    binder: Binder
    sorts: dict[tuple[ast.expr, Loop], Sort] = field(default_factory=dict)
    found: dict[object, list[Any]] = field(default_factory=dict)
    constants: dict[int, set[tuple[str, bool]]] = field(default_factory=dict)
    """What is known at a node for as long as its loop runs; see ``constant_branches``."""

    @property
    def node(self) -> ast.AST:
        """The function, or the whole file outside of its functions."""
        return self.function.node if self.function is not None else self.module.tree

    @cached_property
    def live(self) -> set[int]:
        return self.graph.reachable()

    @cached_property
    def optimizers(self) -> list[Path]:
        """The optimizers that step, each once."""
        found: list[Path] = []
        stepping = (event.path for node, event in self.graph.at(STEP) if node in self.live)
        for path in dict.fromkeys(stepping):
            if path is not None and not any(related(self.binder, path, o) for o in found):
                found.append(path)
        return found

    @cached_property
    def views(self) -> list[View]:
        alone = len(self.optimizers) == 1
        return [View(self.graph, self.binder, path, alone, self.live) for path in self.optimizers]

    def tell(
        self, code: str, event: Event, message: str, severity: Severity | None = None, also: Sequence[Event] = ()
    ) -> Told:
        """A finding at an event; comments at the other events and at the loops around count too."""
        lines = {e.line for e in (event, *also) if e.module is event.module}
        lines |= {getattr(e.node, "end_lineno", e.line) for e in (event, *also) if e.module is event.module}
        lines |= {
            loop.node.lineno
            for e, loops in zip(self.graph.events, self.graph.loops, strict=True)
            if e is event
            for loop in loops
            if loop.module is event.module
        }
        entry = find(code)
        place = event.node
        finding = Finding.at(
            event.module.source,
            place.lineno,
            place.col_offset,
            code,
            severity or entry.severity,
            f"{entry.name}: {message}",
        )
        return finding, frozenset(lines)

    def line(self, event: Event) -> str:
        """Where an event is, for a message: the line, with the file where it is another one."""
        place = event.module.source.place(event.line)
        cell = f"cell {place.cell} line " if place.cell is not None else ""
        file = "" if event.module is self.module else f"{event.module.source.path}:"
        return f"{file}{cell}{place.line}"


def shared(find_all: Callable[[Context], Iterator[T]]) -> Callable[[Context], list[T]]:
    """What several rules ask of a function is looked for once."""

    def kept(context: Context) -> list[T]:
        if find_all not in context.found:
            context.found[find_all] = list(find_all(context))
        return context.found[find_all]

    return wraps(find_all)(kept)


def contexts(module: Module, binder: Binder) -> list[Context]:
    """The module itself and all its functions, as far as they have to do with gradients."""
    made: list[Context] = []
    if not module.stepping and not (module.clearing and module.going_back):
        return made
    roots: list[tuple[Function | None, Scope, Sequence[ast.stmt]]] = []
    for function in module.functions:
        acts = module.steps(function.node) or module.cycles(function.node)
        acts = acts or (not module.stepping and module.acts(function.node))
        if acts and isinstance(function.node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            roots.append((function, function.scope, function.node.body))
    roots.append((None, module.scope, module.tree.body))  # what calls the others comes after them, as a rule
    left = WORK
    for known, scope, body in roots:
        if left < 0:
            break
        flow = Flow(binder)
        graph = flow.build(body, Activation(frame_of(scope), module, known))
        left -= flow.seen
        if not graph.overflown and any(event is not None for event in graph.events):
            made.append(Context(module, known, scope, body, graph, binder))
            if known is not None and _is_contained(made[-1]):
                binder.contained.add(known.node)
    return made


def _is_contained(context: Context) -> bool:
    """Whether a function steps, and all optimizers in it are its own: no caller can make more of them or less."""
    own = [event.path for kind in (STEP, CLEAR) for _, event in context.graph.at(kind) if not event.of_module]
    return bool(context.optimizers) and all(
        path is not None and path.home is context.scope and is_made(context.binder, path) for path in own
    )
