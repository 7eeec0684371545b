"""What a call does to gradients: an event, a function that is built in, or nothing.

What is not known, and might do something, is an "unknown" event, beyond which no rule looks.
"""

from __future__ import annotations

import ast
import re

from zerograd.linting.binding import Callee
from zerograd.linting.graph import Event, Kind, Loop
from zerograd.linting.holding import is_an_element_without_optimizers, may_touch
from zerograd.linting.likeness import walks_through_others
from zerograd.linting.losses import LOSS
from zerograd.linting.paths import Frame, Path, name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import (
    TOUCHING,
    is_a_schedulers,
    is_harmless,
    only_reports,
    snake,
    steps_otherwise,
    suspicion,
)
from zerograd.linting.scopes import Function, chain, make_function
from zerograd.linting.unseen import steps_a_pipeline
from zerograd.stand_ins import TYPE_CHECKING

if TYPE_CHECKING:
    from zerograd.linting.flow import Flow

LIBRARIES = frozenset(
    re.findall(
        r"\w+",
        "torch np numpy F nn tf jax os math time plt random wandb tqdm logging sys dist xm json re itertools functools",
    )
)
KEYED = frozenset({"min", "max", "sorted", "sort", "map", "filter", "any", "all", "sum", "apply", "defaultdict"})
"""Callees that run the function which they are handed, and nothing else."""
MODE = pattern(r"^(?:is_?)?train(?:ing)?$|mode|phase")
CLOSURE_TWICE = frozenset({"LBFGS", "FullBatchLBFGS", "LBFGSNew"})


class Calls:
    """Adds what calls do to the graph of a flow."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.binder = flow.binder

    @property
    def frame(self) -> Frame:
        return self.flow.here.frame

    def path(self, node: ast.expr) -> Path | None:
        """The path of an expression. A part of what a parameter is bound to is the same wherever that is bound."""
        owner = _owner(node, self.frame)
        if owner is None:
            return self.binder.resolve(node, self.frame)
        kept = self.binder.parts
        if (node, owner) not in kept:
            kept[node, owner] = self.binder.resolve(node, self.frame)
        return kept[node, owner]

    def callee(self, node: ast.expr) -> Callee | None:
        """The function that is called; a method of what a parameter is bound to is looked for once."""
        owner = _owner(node, self.frame)
        if owner is None:
            return self.binder.find_callee(node, self.frame)
        kept, key = self.binder.methods, (node, owner, self.frame.scope)
        if key not in kept:
            kept[key] = self.binder.find_callee(node, self.frame)
        return kept[key]

    def call(self, node: ast.Call, end: int) -> int | None:
        """The receiver and the arguments first, then the call itself."""
        after: int | None = end
        for part in self.flow.here.module.calling.operands(node):
            after = self.flow.expression(part, after)
        return None if after is None else self._effect(node, after)

    def event(self, kind: Kind, node: ast.Call, end: int, path: Path | None = None, of_module: bool = False) -> int:
        every = path is not None and path.parts[-1] == "*" and len(self.flow.guards) <= self.flow.in_turn
        return self.flow.new(end, Event(kind, node, self.flow.here.module, path, of_module, every=every))

    def _effect(self, node: ast.Call, end: int) -> int | None:
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        callee = self.callee(node.func)
        if callee is not None and not self._is_an_optimizers(callee[0]):
            return self._known(node, end, *callee)
        if isinstance(node.func, ast.Attribute):
            if name in ("backward", "manual_backward"):
                return self._backward(node, name, end)
            if name == "backwards" and not node.args and LOSS.search(snake(name_of(node.func.value))):
                return end  # no tensor has it
            if name == "zero_grad":
                return self._clear(node, node.func.value, end)
            if name == "step":
                return self._step(node, node.func.value, end)
            if name == "optimizer_step" and (path := self._first_optimizer(node)) is not None:
                return self.event("step", node, end, path)
            receiver = self.path(node.func.value)
            if receiver is not None and self.binder.is_optimizer(receiver):
                if any(word in name for word in TOUCHING) and "synchronize" not in name:
                    return self.event("unknown", node, end, receiver)
                return end
        return self._unknown(node, name, end)

    def _is_an_optimizers(self, function: Function) -> bool:
        """A method of a class that is derived from Optimizer is taken for what its name says."""
        owner = function.owner
        return owner is not None and any(
            getattr(base, "attr", getattr(base, "id", "")) == "Optimizer"
            for ancestor in self.binder.ancestry(owner)
            for base in ancestor.node.bases
        )

    def _known(self, node: ast.Call, end: int, function: Function, home: Frame, instance: Path | None) -> int | None:
        if not function.scope.module.acts(function.node):
            return end
        if self.flow.is_at_work(function):
            return self.event("unknown", node, end)
        frame = self._bound(node, function, home, instance)
        if function.node in self.binder.contained and not frame.callables:
            return self.event("unknown", node, end)  # it may have made gradients for the caller's optimizers, too
        return self.flow.built_in(function, frame, end)

    def _bound(self, node: ast.Call, function: Function, home: Frame, instance: Path | None) -> Frame:
        """The frame of a called function: its parameters stand for what they are given."""
        frame = Frame(function.scope, home)
        names = list(function.scope.parameters)
        if function.owner is not None and instance is not None and names:
            frame.bound[names.pop(0)] = instance
        elif function.owner is not None and names and names[0] == "cls":
            names.pop(0)
        given = dict(zip(names, node.args, strict=False))
        given.update({k.arg: k.value for k in node.keywords if k.arg is not None})
        for name, argument in given.items():
            if isinstance(argument, ast.Starred):
                break
            if isinstance(argument, ast.Lambda):
                lambda_function = make_function(argument, name, self.frame.scope)
                frame.callables[name] = (lambda_function, self.frame)
            elif chain(argument) and (callee := self._function(argument)) is not None:
                frame.callables[name] = callee
            elif (path := self.path(argument)) is not None:
                frame.bound[name] = path
        return frame

    def _function(self, node: ast.expr) -> tuple[Function, Frame] | None:
        """The function that a name means, if it is not an instance that can be called."""
        found = self.callee(node)
        if found is None or found[2] is not None or found[0].name in ("__call__", "forward"):
            return None
        return found[0], found[1]

    def _backward(self, node: ast.Call, name: str, end: int) -> int:
        """An engine that is handed optimizers may do anything: ``strategy.backward(loss, model, optimizer)``."""
        paths = [self.path(given) for given in node.args[1:]] if name == "backward" else []
        for path in paths:
            if path is not None and self.binder.is_optimizer(path):
                return self.event("unknown", node, end)
        return self.event("backward", node, end)

    def _clear(self, node: ast.Call, receiver: ast.expr, end: int) -> int:
        path = self.path(receiver)
        if path is None:
            return self.event("unknown", node, end)
        return self.event("clear", node, end, path, not self.binder.is_optimizer(path))

    def _step(self, node: ast.Call, receiver: ast.expr, end: int) -> int | None:
        path = self.path(receiver)
        handed = self._first_optimizer(node)
        if handed is not None and is_a_schedulers(name_of(receiver)):
            return end  # scheduler.step(optimizer)
        if handed is not None and (path is None or not self.binder.is_optimizer(path)):
            return self.event("step", node, end, handed)  # scaler.step(optimizer)
        known = None if path is None else self.binder.is_optimizer(path)
        if path is None or not known:
            if steps_a_pipeline(node, receiver, path, self.binder):
                return self.event("unknown", node, end)
            other = path is not None and (
                known is False
                or steps_otherwise(path.last)
                or walks_through_others(self.binder.values(path))
                or is_an_element_without_optimizers(path, self.binder)
            )
            return end if other else self.event("unknown", node, end)
        closure = next(
            (k.value for k in node.keywords if k.arg == "closure"), node.args[0] if len(node.args) == 1 else None
        )
        if closure is not None and not isinstance(closure, ast.Constant):
            return self._with_closure(node, closure, path, end)
        after = self.event("step", node, end, path)
        if any(keyword.arg == "zero_grad" for keyword in node.keywords):
            after = self.event("clear", node, after, path)
        return after

    def _with_closure(self, node: ast.Call, closure: ast.expr, path: Path, end: int) -> int | None:
        """torch's optimizers call the closure and then step; LBFGS does so again and again."""
        function: tuple[Function, Frame] | None = None
        if isinstance(closure, ast.Lambda):
            function = make_function(closure, "closure", self.frame.scope), self.frame
        elif chain(closure):
            found = self.callee(closure)
            function = found[:2] if found is not None else None
            if found is not None and found[2] is not None and found[0].scope.parameters:
                frame = Frame(found[0].scope, found[1], {found[0].scope.parameters[0]: found[2]})
                return self._closure_steps(node, found[0], frame, path, end)
        if function is None and chain(closure) and LOSS.search(snake(name_of(closure))):
            return self.event("unknown", node, end)  # it goes backward itself, for whatever the losses depend on
        if function is None or self.flow.is_at_work(function[0]):
            return self.event("unknown", node, end, path)
        return self._closure_steps(node, function[0], Frame(function[0].scope, function[1]), path, end)

    def _closure_steps(self, node: ast.Call, function: Function, frame: Frame, path: Path, end: int) -> int | None:
        made = self.binder.constructor(path)
        again = made is not None and getattr(made.func, "attr", getattr(made.func, "id", "")) in CLOSURE_TWICE
        if not again:
            after = self.flow.built_in(function, frame, end)
            return None if after is None else self.event("step", node, after, path)
        flow = self.flow
        loop = Loop(node, len(flow.graph.following), flow.here.module, True)
        flow.graph.all_loops.append(loop)
        outer, flow.loops = flow.loops, (*flow.loops, loop)
        header = flow.new(end)
        inside = flow.built_in(function, frame, header)
        stepped = self.event("step", node, inside, path) if inside is not None else None
        flow.loops = outer
        if stepped is None:
            return None
        flow.graph.link(stepped, header)
        return flow.new(stepped)

    def _first_optimizer(self, node: ast.Call) -> Path | None:
        if not node.args:
            return None
        path = self.path(node.args[0])
        return path if path is not None and self.binder.is_optimizer(path) else None

    def _unknown(self, node: ast.Call, name: str, end: int) -> int:
        """A callee whose source isn't known: judged by its name and by what it is handed."""
        parts = chain(node.func)
        dotted = self.binder.dotted(node.func, self.frame.scope)
        if name[:1].isupper() or (dotted and dotted[0] in LIBRARIES and dotted[0] != "functools"):
            if parts and dotted[-2:] == ["autograd", "backward"]:
                return self.event("backward", node, end)
            return end
        if parts and (called := self.path(node.func)) is not None and self.binder.is_optimizer(called):
            return self.event("unknown", node, end, called)
        suspicious = may_touch(node, suspicion(name), self.frame, self.binder)
        if (name == "train" and _is_a_mode(node)) or (
            isinstance(node.func, ast.Attribute) and only_reports(parts[-2] if len(parts) > 1 else "")
        ):
            suspicious = False
        if parts == ("self",) and node.args and isinstance(node.args[0], ast.Constant):
            suspicious = True
        if suspicious:
            return self.event("unknown", node, end)
        for argument in _arguments(node):
            if isinstance(argument, ast.Lambda) or self._is_telling_function(argument):
                if self._may_run(argument, name) and not is_harmless(name):
                    return self.event("unknown", node, end)
                continue
            path = self.path(argument) if chain(argument) else None
            if path is not None and self.binder.is_optimizer(path) and not is_harmless(name):
                end = self.event("unknown", node, end, path)
        return end

    def _may_run(self, argument: ast.expr, name: str) -> bool:
        """Whether a function that is handed over has to do with gradients; ``max(xs, key=...)`` only if it says so."""
        module = self.flow.here.module
        return module.acts(argument) if name in KEYED else module.touches(argument)

    def _is_telling_function(self, node: ast.expr) -> bool:
        if not chain(node) or not self.flow.here.module.touches(node):
            return False
        function = self._function(node)
        return function is not None and function[0].scope.module.acts(function[0].node)


def _owner(node: ast.expr, frame: Frame) -> Path | None:
    """What the name is bound to that ``a.b["c"]`` begins with; None for all else."""
    if isinstance(node, ast.Name):
        return None
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return frame.bound.get(node.id) if isinstance(node, ast.Name) else None


def _arguments(node: ast.Call) -> list[ast.expr]:
    listed: list[ast.expr] = []
    for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
        if isinstance(argument, (ast.List, ast.Tuple)):
            listed += argument.elts
        elif isinstance(argument, ast.Dict):
            listed += argument.values
        elif isinstance(argument, ast.Starred):
            listed.append(argument.value)
        else:
            listed.append(argument)
    return listed


def _is_a_mode(node: ast.Call) -> bool:
    """Whether ``model.train(x)`` sets the mode of a module: with nothing, a constant, or a condition."""
    given = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    if len(given) > 1 or len(given) != len(node.args) + len(node.keywords):
        return False
    return all(
        isinstance(value, ast.Constant)
        or (chain(value) and MODE.search(chain(value)[-1]))
        or isinstance(value, (ast.Compare, ast.UnaryOp))
        for value in given
    )
