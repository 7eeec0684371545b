"""What a name stands for: aliases, attributes of instances, classes, functions, optimizers and their modules."""

from __future__ import annotations

import ast

from zerograd.linting.instances import assigned, modules_of, origins_of
from zerograd.linting.likeness import is_like_an_optimizer
from zerograd.linting.modules import Module
from zerograd.linting.paths import DEPTH, WRAPPERS, Frame, Path, bare, frame_of, name_of
from zerograd.linting.receivers import (
    CLASSES,
    NOT_AN_OPTIMIZER,
    makes_an_optimizer,
    makes_another_thing,
    snake,
)
from zerograd.linting.scopes import Class, Function, Scope, Value, chain, index_part, make_function

Callee = tuple[Function, Frame, Path | None]
"""A function that is called: itself, the frame that it was defined in, and the instance of a method."""
PLAIN = CLASSES - {"SAM", "GSAM"}
"""Those that are no wrappers of another one."""


class Binder:
    """Answers questions about names; each answer is kept."""

    def __init__(self) -> None:
        self._classes: dict[Path, Class | None] = {}
        self._optimizers: dict[Path, bool | None] = {}
        self._modules: dict[Path, frozenset[Path] | None] = {}
        self._origins: dict[Path, frozenset[object]] = {}
        self.parts: dict[tuple[ast.expr, Path], Path | None] = {}
        self.methods: dict[tuple[ast.expr, Path, Scope], Callee | None] = {}
        """What was found of expressions that begin with a name that is bound to a path."""
        self.wrapped: dict[Path, frozenset[Path]] = {}
        """The optimizers that an optimizer was made from."""
        self.quiet: set[tuple[ast.AST, frozenset[tuple[str, Path]]]] = set()
        """Functions in which nothing happens to gradients, with what their parameters stand for."""
        self.contained: set[ast.AST] = set()
        """Functions that make all the optimizers which they step and clear. They have been judged by themselves."""

    def resolve(self, node: ast.expr, frame: Frame, depth: int = 0) -> Path | None:
        """The path of an expression such as ``self.opts["g"]``; aliases are followed."""
        if isinstance(node, ast.Name):
            return self.named(node.id, frame, depth)
        if isinstance(node, ast.Attribute):
            base = self.resolve(node.value, frame, depth)
            if base is None or node.attr == "module":
                return base
            return _followed(self, base.extended(node.attr), depth)
        if isinstance(node, ast.Subscript):
            base = self.resolve(node.value, frame, depth)
            return base and _followed(self, base.extended(index_part(node.slice)), depth)
        if isinstance(node, ast.Call):
            if name_of(node.func) in WRAPPERS and node.args:
                return self.resolve(node.args[0], frame, depth)
            if not node.args and not node.keywords and isinstance(node.func, ast.Attribute):
                base = self.resolve(node.func, frame, depth)
                return base and base.extended("()")
        if isinstance(node, ast.NamedExpr):
            return self.resolve(node.target, frame, depth)
        return None

    def named(self, name: str, frame: Frame, depth: int = 0) -> Path:
        """The path of a name as a function sees it."""
        here: Frame | None = frame
        while here is not None:
            if name in here.bound:
                return here.bound[name]
            if here.scope.has(name) or here.parent is None:
                break
            here = here.parent
        assert here is not None
        path = Path(here.scope, (name,))
        values = here.scope.values.get(name, [])
        if depth < DEPTH and len(values) == 1 and values[0].how == "is" and name not in here.scope.parameters:
            value = values[0].expression
            if chain(value) or (isinstance(value, ast.Call) and name_of(value.func) in WRAPPERS):
                return self.resolve(value, here, depth + 1) or path
        return path

    def values(self, path: Path) -> list[Value]:
        """All that is assigned to a path anywhere."""
        return assigned(self, path)[0]

    def ancestry(self, owner: Class) -> list[Class]:
        """A class and those that it is derived from, as far as their source is known."""
        found: list[Class] = []
        waiting = [owner]
        while waiting and len(found) < DEPTH:
            current = waiting.pop(0)
            if current in found:
                continue
            found.append(current)
            for base in current.node.bases:
                parent = self.find_class(base, current.scope)
                if parent is not None:
                    waiting.append(parent)
        return found

    def class_of(self, path: Path) -> Class | None:
        """The class that an instance is made from."""
        if isinstance(path.home, Class) and len(path.parts) == 1:
            return path.home
        if path not in self._classes:
            self._classes[path] = None
            self._classes[path] = self._class_of(path)
        return self._classes[path]

    def _class_of(self, path: Path) -> Class | None:
        for value in self.values(path):
            node = bare(value.expression)
            if value.how in ("is", "with") and isinstance(node, ast.Call):
                found = self.find_class(node.func, value.scope)
                if found is not None:
                    return found
            if value.how == "is" and chain(node):
                other = self.resolve(node, frame_of(value.scope))
                if other is not None and other != path and (found := self.class_of(other)):
                    return found
        if isinstance(path.home, Scope) and len(path.parts) == 1 and path.parts[0] in path.home.annotations:
            return self.find_class(path.home.annotations[path.parts[0]], path.home)
        return None

    def find_class(self, node: ast.expr, scope: Scope) -> Class | None:
        """The class that a name or ``module.name`` means."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            node = ast.Name(node.value)
        found = self.find_definition(node, scope)
        return found if isinstance(found, Class) else None

    def find_definition(self, node: ast.expr, scope: Scope, depth: int = 0) -> Function | Class | None:
        """The function or class that a name, or ``module.name``, means: here or in an imported file."""
        parts = chain(node)
        here: Scope | None = scope
        while parts and here is not None:
            name = parts[0]
            if len(parts) == 1 and (name in here.functions or name in here.classes):
                return here.functions.get(name) or here.classes[name]
            if name in here.imports and depth < DEPTH:
                return self._imported(here.module, here.imports[name], parts[1:], depth)
            if here.has(name):
                return None
            if here.parent is None and depth < DEPTH and isinstance(node, ast.Name):
                return _from_all(self, here, node, depth)
            here = here.parent
        return None

    def _imported(
        self, module: Module, imported: tuple[str, str], rest: tuple[str, ...], depth: int
    ) -> Function | Class | None:
        origin, name = imported
        if name:
            inner = module.files.find(module, f"{origin}.{name}" if origin.strip(".") else f"{origin}{name}")
            found = inner if rest else module.files.find(module, origin, name)
            wanted = rest if rest else (name,)
        else:
            found, wanted = module.files.find(module, ".".join([origin, *rest[:-1]]), *rest[-1:]), rest[-1:]
        if found is None or len(wanted) != 1:
            return None
        return self.find_definition(ast.Name(wanted[0]), found.scope, depth + 1)

    def find_method(self, owner: Class, name: str, above: bool = False) -> Function | None:
        """A method of a class or of what it is derived from; ``above``: as ``super()`` looks for it."""
        for ancestor in self.ancestry(owner)[above:]:
            if name in ancestor.methods:
                return ancestor.methods[name]
        return None

    def is_optimizer(self, path: Path) -> bool | None:
        """True for an optimizer, False for what is surely none, None for what isn't known."""
        if path not in self._optimizers:
            self._optimizers[path] = None
            self._optimizers[path] = self._judged(path)
        return self._optimizers[path]

    def _judged(self, path: Path) -> bool | None:
        verdict: bool | None = None
        for value in self.values(path):
            made = self.makes(value)
            if made:
                return True
            verdict = made if verdict is None else verdict
        if verdict is False:
            return False
        if path.parts[-1] in ("*",) or path.parts[-1][0] == "[":
            whole = Path(path.home, path.parts[:-1])
            if len(whole.parts) and self.is_optimizer(whole):
                return True
        return is_like_an_optimizer(path, self.values(path)) or None

    def makes(self, value: Value) -> bool | None:
        """Whether an assigned value is an optimizer; None where that isn't known."""
        node = bare(value.expression)
        if isinstance(node, (ast.ListComp, ast.List, ast.Tuple)):
            inner = [node.elt] if isinstance(node, ast.ListComp) else node.elts[:1]
            return self.makes(Value(inner[0], value.how, value.scope)) if inner else None
        if isinstance(node, ast.IfExp):
            return self.makes(Value(node.body, value.how, value.scope))
        if not isinstance(node, ast.Call):
            return None
        dotted = self.dotted(node.func, value.scope)
        if not dotted:
            return None
        if value.how == "part":
            return True if dotted[-1] == "optimizers" else None
        if makes_an_optimizer(dotted):
            return True
        own = self.find_class(node.func, value.scope)
        if own is not None:
            return any(name_of(base) == "Optimizer" for a in self.ancestry(own) for base in a.node.bases) or None
        if makes_another_thing(dotted) or NOT_AN_OPTIMIZER.search(snake(dotted[-1])):
            return False
        return None

    def dotted(self, node: ast.expr, scope: Scope) -> list[str]:
        """``optim.SGD`` as ["torch", "optim", "SGD"], by the imports of the file."""
        if isinstance(node, ast.Call) and name_of(node.func) == "getattr" and node.args:
            module = self.dotted(node.args[0], scope)
            if module and "sched" in module[-1]:
                return [*module, "Scheduler"]
            return [*module, "Optimizer"] if module[-1:] == ["optim"] else []
        parts = list(chain(node))
        here: Scope | None = scope
        while parts and here is not None:
            if parts[0] in here.imports:
                origin, name = here.imports[parts[0]]
                return [part for part in f"{origin}.{name}".split(".") if part] + parts[1:]
            here = here.parent
        return parts

    def constructor(self, path: Path) -> ast.Call | None:
        """The one call of a well-known class that makes an optimizer, if it is made in one place."""
        values = [v for v in self.values(path) if not (isinstance(v.expression, ast.Constant))]
        if len(values) != 1 or values[0].how != "is" or not isinstance(values[0].expression, ast.Call):
            return None
        call = values[0].expression
        if isinstance(call.func, ast.Attribute) and call.func.attr not in PLAIN:
            return None
        return call if is_plain(self.dotted(call.func, values[0].scope)) else None

    def modules(self, path: Path) -> frozenset[Path] | None:
        """The modules whose parameters an optimizer has, or None where that can't be read off."""
        if path not in self._modules:
            self._modules[path] = None
            self._modules[path] = modules_of(self, path)
        return self._modules[path]

    def origins(self, path: Path) -> frozenset[object]:
        """What makes two paths one thing: the path, the calls that it was made by, the paths assigned to it."""
        if path not in self._origins:
            self._origins[path] = frozenset({path})
            self._origins[path] = origins_of(self, path)
        return self._origins[path]

    def find_callee(self, node: ast.expr, frame: Frame) -> Callee | None:
        """The function that is called."""
        if isinstance(node, ast.Name):
            return self._plain_callee(node, frame)
        if not isinstance(node, ast.Attribute):
            return None
        if isinstance(node.value, ast.Call) and name_of(node.value.func) == "super":
            owner = _owner(frame)
            method = self.find_method(owner[0], node.attr, above=True) if owner else None
            return (
                (method, frame_of(method.scope.parent), owner[1]) if method and owner and method.scope.parent else None
            )
        path = self.resolve(node.value, frame)
        owner_class = self.class_of(path) if path is not None else None
        if owner_class is not None:
            method = self.find_method(owner_class, node.attr)
            if method is not None and method.scope.parent is not None:
                return method, frame_of(method.scope.parent), None if method.is_static else path
            return None
        found = self.find_definition(node, frame.scope)
        return _with_frame(found) if isinstance(found, Function) else None

    def _plain_callee(self, node: ast.Name, frame: Frame) -> Callee | None:
        here: Frame | None = frame
        while here is not None:
            if node.id in here.callables:
                function, home = here.callables[node.id]
                return function, home, None
            if node.id in here.scope.functions:
                return here.scope.functions[node.id], here, None
            values = here.scope.values.get(node.id, ())
            if len(values) == 1 and isinstance(values[0].expression, ast.Lambda):
                return make_function(values[0].expression, node.id, here.scope), here, None
            if here.scope.has(node.id):
                break
            here = here.parent
        path = self.named(node.id, frame)
        owner = self.class_of(path)
        if owner is not None:
            method = self.find_method(owner, "__call__") or self.find_method(owner, "forward")
            return (method, frame_of(method.scope.parent), path) if method and method.scope.parent else None
        found = self.find_definition(node, frame.scope)
        return _with_frame(found) if isinstance(found, Function) else None


def is_made(binder: Binder, path: Path) -> bool:
    """Whether all that is assigned to a path are calls that make optimizers."""
    values = binder.values(path)
    return bool(values) and all(
        isinstance(bare(value.expression), ast.Call) and binder.makes(value) for value in values
    )


def is_plain(dotted: list[str]) -> bool:
    """Whether a dotted name is that of a well-known class of optimizers that are no wrappers of another one."""
    return not PLAIN.isdisjoint(dotted[-1:])


def _from_all(binder: Binder, scope: Scope, node: ast.Name, depth: int) -> Function | Class | None:
    """What ``from module import *`` may have brought."""
    for origin, name in scope.imports.values():
        other = scope.module.files.find(scope.module, origin, node.id) if name == "*" else None
        found = binder.find_definition(node, other.scope, depth + 1) if other is not None else None
        if found is not None:
            return found
    return None


def _with_frame(function: Function) -> Callee | None:
    return (function, frame_of(function.scope.parent), None) if function.scope.parent is not None else None


def _owner(frame: Frame) -> tuple[Class, Path] | None:
    here: Frame | None = frame
    while here is not None:
        if here.scope.owner is not None and here.scope.parameters:
            path = here.bound.get(here.scope.parameters[0])
            return (here.scope.owner, path) if path is not None else None
        here = here.parent
    return None


def _followed(self: Binder, path: Path, depth: int) -> Path:
    """The path that an attribute of an instance was set to, where it is another attribute of the instance."""
    if depth < DEPTH and isinstance(path.home, Class) and len(path.parts) > 1:
        values = path.home.attributes.get(path.parts[1:], ())
        if len(values) == 1 and values[0].how == "is":
            parts = chain(values[0].expression)
            if len(parts) > 1 and parts[0] == path.parts[0]:
                return self.resolve(values[0].expression, frame_of(values[0].scope), depth + 1) or path
    return path
