"""From statements to the control-flow graph. Calls are left to ``calls``; functions that are known are built in."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from zerograd.linting.activations import Activation, Target
from zerograd.linting.binding import Binder
from zerograd.linting.branching import chain_of, is_elif
from zerograd.linting.calls import Calls
from zerograd.linting.collections_of import elements
from zerograd.linting.gradients import handmade, is_handwork, known_handwork
from zerograd.linting.graph import Event, Graph, Guard, Loop
from zerograd.linting.paths import Frame, name_of
from zerograd.linting.scopes import Function
from zerograd.stand_ins import Any

NODES = 3000
CALLS = 150
EXPRESSIONS = 6_000
DEPTH = 6
TRIES: tuple[type[ast.Try], ...] = (ast.Try, getattr(ast, "TryStar", ast.Try))
JUMPS = (ast.Continue, ast.Break, ast.Return, ast.Raise)


class Flow:
    """Builds one graph. ``node`` arguments and results are ends of the path so far; None where no run gets to."""

    def __init__(self, binder: Binder) -> None:
        self.binder = binder
        self.graph = Graph()
        self.loops: tuple[Loop, ...] = ()
        self.guards: tuple[Guard, ...] = ()
        self.in_turn = 0
        """How many guards there are around the innermost loop over a collection: each element meets those."""
        self.stack: list[Activation] = []
        self.here: Activation
        """The function at work: the last one of the stack."""
        self.count = 0
        self.seen = 0
        self.calls = Calls(self)
        self.graph.add(None, (), ())
        self.graph.add(None, (), ())

    def build(self, body: Sequence[ast.stmt], activation: Activation) -> Graph:
        """The graph of a module or function and all that it calls."""
        self.here = activation
        self.stack.append(activation)
        end = self.body(body, Graph.ENTRY)
        for node in [*activation.returns, *([end] if end is not None else [])]:
            self.graph.link(node, Graph.EXIT)
        self.stack.pop()
        return self.graph

    def built_in(self, function: Function, frame: Frame, node: int) -> int | None:
        """A function at the place where it is called. One that does nothing there does nothing the next time."""
        key = (function.node, frozenset(frame.bound.items()))
        repeatable = not frame.callables and function.scope.parent is not None and function.scope.parent.parent is None
        if repeatable and key in self.binder.quiet:
            return node
        first = len(self.graph.events)
        end = _built_in(self, function, frame, node)
        if repeatable and end is not None and not self.graph.overflown and not any(self.graph.events[first:]):
            self.binder.quiet.add(key)
        return end

    def new(self, before: int | None = None, event: Event | None = None) -> int:
        if len(self.graph.following) > NODES:
            self.graph.overflown = True
        node = self.graph.add(event, self.loops, self.guards)
        if before is not None:
            self.graph.link(before, node)
        return node

    def joined(self, ends: Sequence[int | None]) -> int | None:
        """One node after several ends."""
        there = [end for end in ends if end is not None]
        if len(there) < 2:
            return there[0] if there else None
        node = self.new()
        for end in there:
            self.graph.link(end, node)
        return node

    def body(self, body: Sequence[ast.stmt], node: int | None) -> int | None:
        """Statements in a row. What follows an ``if`` that jumps away is guarded by its condition too.

        Where no line of a statement has to do with gradients or jumps, a run comes out of it as it went in.
        """
        outer, matters = self.guards, self.here.module.matters
        for statement in body:
            if not matters(statement):
                continue
            if node is None or self.graph.overflown:
                break
            node = self.statement(statement, node)
            if isinstance(statement, ast.If) and not statement.orelse and isinstance(statement.body[-1], JUMPS):
                self.guards = (*self.guards, Guard(statement, statement.test, False, self.here.module))
        self.guards = outer
        return node

    def statement(self, statement: ast.stmt, node: int) -> int | None:
        """One statement."""
        act = ACTS.get(type(statement))
        if act is not None:
            return act(self, statement, node)
        return self._simple(statement, node) if self.here.module.touches(statement) else node

    def _simple(self, statement: ast.stmt, node: int) -> int | None:
        end: int | None = node
        for child in self.here.module.calling.children(statement):
            end = self.expression(child, end)
        work = known_handwork(self.here.module, statement)
        if work is not None and end is not None:
            end = self.new(end, Event("unknown", statement, self.here.module))
        if isinstance(statement, ast.Assign) and _makes_something(statement.value) and end is not None:
            for target in statement.targets:
                path = self.binder.resolve(target, self.here.frame)
                if path is not None and self.binder.is_optimizer(path):
                    end = self.new(end, Event("clear", statement, self.here.module, path, made=True))
        return end

    def _if(self, statement: ast.If, node: int) -> int | None:
        """All branches, one after the other: a row of ``elif`` may be longer than calls may be deep."""
        outer, ends = self.guards, list[int | None]()
        for branch in chain_of(statement):
            if branch is not statement and not self.here.module.matters(branch):
                ends.append(node)
                break
            constant, known = _constant(branch.test), self.guards
            start = self.expression(branch.test, node) if self.here.module.touches(branch.test) else node
            if start is None:
                break
            if constant is not False:
                self.guards = (*known, Guard(branch, branch.test, True, self.here.module))
                ends.append(self.body(branch.body, self.new(start)))
            if constant is True:
                break
            self.guards = (*known, Guard(branch, branch.test, False, self.here.module))
            node = self.new(start)
            if not is_elif(branch):
                ends.append(self.body(branch.orelse, node))
        self.guards = outer
        return self.joined(ends)

    def _loop(self, statement: ast.For | ast.AsyncFor | ast.While, node: int) -> int | None:
        if not self.here.module.touches(statement) and not _is_left(self, statement):
            return node
        start: int | None = node
        if isinstance(statement, (ast.For, ast.AsyncFor)):
            start = self.expression(statement.iter, node)
            if start is not None and (end := self._known_elements(statement, start)) is not None:
                return end
        if start is None:
            return None
        endless = isinstance(statement, ast.While) and _constant(statement.test) is True
        outer = self.loops
        loop = Loop(statement, len(self.graph.following), self.here.module, len(self.stack) > 1)
        self.graph.all_loops.append(loop)
        self.loops = (*outer, loop)
        header = self.new(start)
        end = header if not isinstance(statement, ast.While) else self.expression(statement.test, header)
        target = Target([], header, len(self.here.finals))
        self.here.targets.append(target)
        inside = self.body(statement.body, end)
        self.here.targets.pop()
        if inside is not None:
            self.graph.link(inside, header)
        self.loops = outer
        after = None if endless else self.body(statement.orelse, self.new(header))
        return self.joined([after, *target.breaks])

    def _known_elements(self, statement: ast.For | ast.AsyncFor, node: int) -> int | None:
        """A loop over optimizers or over parameters: each of them has its turn, so it is no loop in the graph."""
        module = self.here.module
        if is_handwork(module, statement):
            work = known_handwork(module, statement)
            if work is not None:
                return self.new(node, handmade(module, statement, work, self.binder, self.here.frame))
        turns = elements(statement.target, statement.iter, self.here.frame, self.binder)
        if turns is None:
            return None
        end: int | None = node
        outer, self.in_turn = self.in_turn, len(self.guards)
        for bound in turns:
            frame = self.here.frame
            kept = dict(frame.bound)
            frame.bound.update(bound)
            target = Target([], self.new(), len(self.here.finals))
            self.here.targets.append(target)
            end = self.joined([self.body(statement.body, end), target.header if _is_used(self, target) else None])
            self.here.targets.pop()
            frame.bound = kept
            end = self.joined([end, *target.breaks])
        self.in_turn = outer
        return end

    def _try(self, statement: ast.Try, node: int) -> int | None:
        """Handlers begin a path of their own: what was done before one is not known, if anything was."""
        if statement.finalbody:
            self.here.finals.append(statement.finalbody)
        first = len(self.graph.events)
        end = self.body([*statement.body, *statement.orelse], node)
        quiet = all(event is None for event in self.graph.events[first:])
        ends = [end]
        for handler in statement.handlers:
            start = self.new(node) if quiet else self.new(None, Event("unknown", statement, self.here.module))
            if not quiet:
                self.graph.handlers.append(start)
            ends.append(self.body(handler.body, start))
        if statement.finalbody:
            self.here.finals.pop()
        return self.body(statement.finalbody, self.joined(ends))

    def _match(self, statement: ast.Match, node: int) -> int | None:
        start = self.expression(statement.subject, node)
        if start is None:
            return None
        outer, ends, complete = self.guards, [], False
        for case in statement.cases:
            self.guards = (*outer, Guard(statement, statement.subject, True, self.here.module))
            ends.append(self.body(case.body, self.new(start)))
            complete |= isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None and case.guard is None
        self.guards = outer
        return self.joined([*ends, None if complete else start])

    def _jump(self, statement: ast.Break | ast.Continue, node: int) -> None:
        if not self.here.targets:
            return
        target = self.here.targets[-1]
        ends: list[int] = []
        self.leave(node, target.finals, ends)
        for end in ends:
            if isinstance(statement, ast.Break):
                target.breaks.append(end)
            else:
                self.graph.link(end, target.header)

    def leave(self, node: int | None, kept: int, ends: list[int]) -> None:
        """A jump out of ``try`` runs the ``finally`` blocks on its way."""
        finals = self.here.finals
        self.here.finals = []
        for block in reversed(finals[kept:]):
            node = self.body(block, node)
        self.here.finals = finals
        if node is not None:
            ends.append(node)

    def expression(self, node: ast.expr | None, end: int | None) -> int | None:
        """The calls of an expression in the order in which they happen."""
        parts = self.here.module.calling.parts(node) if node is not None and end is not None else None
        if parts is None or node is None or end is None:
            return end
        self.seen += 1
        if self.seen > EXPRESSIONS or self.graph.overflown:
            self.graph.overflown = True
            return end
        if isinstance(node, ast.Call):
            return self.calls.call(node, end)
        if isinstance(node, ast.IfExp):
            start = self.expression(node.test, end)
            return self.joined([self.expression(node.body, start), self.expression(node.orelse, start)])
        if isinstance(node, ast.BoolOp):
            first = self.expression(node.values[0], end)
            last = first
            for value in node.values[1:]:
                last = self.expression(value, last)
            return last if last == first else self.joined([first, last])
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            return self._comprehension(node, end)
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            inner = self.expression(node.value, end)
            return None if inner is None else self.new(inner, Event("unknown", node, self.here.module))
        current: int | None = end
        for part in parts:
            current = self.expression(part, current)
        return current

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, end: int
    ) -> int | None:
        current = self.expression(node.generators[0].iter, end)
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        turns = elements(node.generators[0].target, node.generators[0].iter, self.here.frame, self.binder) or [{}]
        for bound in turns:
            kept = dict(self.here.frame.bound)
            self.here.frame.bound.update(bound)
            for part in parts:
                current = self.expression(part, current)
            self.here.frame.bound = kept
        return current

    def is_at_work(self, function: Function) -> bool:
        """Whether a function is being built already, or too deep down to be built in."""
        return len(self.stack) > DEPTH or any(
            a.function is not None and a.function.node is function.node for a in self.stack
        )


def _built_in(flow: Flow, function: Function, frame: Frame, node: int) -> int | None:
    flow.count += 1
    if flow.count > CALLS:
        flow.graph.overflown = True
        return node
    activation = Activation(frame, function.scope.module, function)
    flow.stack.append(activation)
    caller, flow.here = flow.here, activation
    guards = flow.guards
    if isinstance(function.node, ast.Lambda):
        end = flow.expression(function.node.body, node)
    else:
        end = flow.body(function.node.body, node)
    flow.guards = guards
    flow.stack.pop()
    flow.here = caller
    return flow.joined([*activation.returns, *([end] if end is not None else [])])


def _makes_something(value: ast.expr) -> bool:
    """Whether a call may give a new optimizer; Lightning's ``self.optimizers()`` and ``getattr`` give what is there."""
    return isinstance(value, ast.Call) and name_of(value.func) not in ("optimizers", "getattr", "get", "next", "pop")


def _constant(test: ast.expr) -> bool | None:
    """The truth of a condition that is always the same; a file's main block is always run."""
    if isinstance(test, ast.Constant):
        return bool(test.value)
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
        return True
    return None


def _is_used(self: Flow, target: Target) -> bool:
    return any(target.header in targets for targets in self.graph.following)


def _definition(flow: Flow, statement: ast.stmt, node: int) -> int:  # noqa: ARG001
    return node


def _raise(flow: Flow, statement: ast.Raise, node: int) -> None:
    """No run comes out of it."""


def _return(flow: Flow, statement: ast.Return, node: int) -> None:
    value = statement.value
    flow.leave(flow.expression(value, node) if value is not None else node, 0, flow.here.returns)


def _with(flow: Flow, statement: ast.With | ast.AsyncWith, node: int) -> int | None:
    end: int | None = node
    for item in statement.items:
        end = flow.expression(item.context_expr, end)
    return flow.body(statement.body, end)


def _is_left(flow: Flow, statement: ast.For | ast.AsyncFor | ast.While) -> bool:
    """Whether a loop without events may be left in another way than at its end."""
    endless = isinstance(statement, ast.While) and _constant(statement.test) is True
    return endless or flow.here.module.returns(statement)


ACTS: dict[type[ast.stmt], Callable[[Flow, Any, int], int | None]] = {
    ast.FunctionDef: _definition,
    ast.AsyncFunctionDef: _definition,
    ast.ClassDef: _definition,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Break: Flow._jump,
    ast.Continue: Flow._jump,
    ast.If: Flow._if,
    ast.For: Flow._loop,
    ast.AsyncFor: Flow._loop,
    ast.While: Flow._loop,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Match: Flow._match,
    **dict.fromkeys(TRIES, Flow._try),
}
"""What is done with statements that hold others, or jump. All others are simple."""
