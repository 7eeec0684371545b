"""The names of a file: which scopes there are, what is assigned in each, which functions, classes and imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable

from zerograd.linting.branching import chain_of
from zerograd.stand_ins import TYPE_CHECKING, dataclass, field

if TYPE_CHECKING:
    from zerograd.linting.modules import Module

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
MAXIMUM_PATH = 6
SIMPLE = (ast.Expr, ast.Return, ast.Raise, ast.AugAssign, ast.Assert, ast.Pass, ast.Continue, ast.Break, ast.Delete)
"""Statements that bind no name."""


@dataclass(frozen=True)
class Value:
    """Something assigned. ``how``: it "is" the expression, a "part" of it, an "item" of it in a loop, or "with" it."""

    expression: ast.expr
    how: str
    scope: Scope


@dataclass(eq=False)
class Scope:
    """The names of a module or function. ``attributes``: what is assigned to ``a.b`` or ``a["b"]`` there."""

    node: ast.AST
    module: Module
    parent: Scope | None = None
    owner: Class | None = None
    parameters: list[str] = field(default_factory=list)
    annotations: dict[str, ast.expr] = field(default_factory=dict)
    values: dict[str, list[Value]] = field(default_factory=dict)
    attributes: dict[tuple[str, ...], list[Value]] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, Class] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    elsewhere: set[str] = field(default_factory=set)

    def has(self, name: str) -> bool:
        """Whether a name is bound here."""
        return name not in self.elsewhere and (
            name in self.values
            or name in self.parameters
            or name in self.functions
            or name in self.classes
            or name in self.imports
        )


@dataclass(eq=False)
class Function:
    """A function, method or lambda, with its own scope."""

    name: str
    node: FunctionNode
    scope: Scope
    owner: Class | None = None

    @property
    def is_static(self) -> bool:
        decorators = getattr(self.node, "decorator_list", [])
        return any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in decorators)


@dataclass(eq=False)
class Class:
    """A class: methods by name, and what is assigned to attributes of its instances anywhere in it."""

    name: str
    node: ast.ClassDef
    module: Module
    scope: Scope
    methods: dict[str, Function] = field(default_factory=dict)
    attributes: dict[tuple[str, ...], list[Value]] = field(default_factory=dict)
    annotations: dict[str, ast.expr] = field(default_factory=dict)


def chain(node: ast.expr) -> tuple[str, ...]:
    """``a.b["c"]`` -> ("a", "b", "[c]"); empty for what is no such chain."""
    if isinstance(node, ast.Name):
        return (node.id,)
    parts: list[str] = []
    while len(parts) < MAXIMUM_PATH:
        if isinstance(node, ast.Name):
            parts.append(node.id)
            return tuple(reversed(parts))
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Subscript):
            parts.append(index_part(node.slice))
            node = node.value
        else:
            break
    return ()


def index_part(index: ast.expr) -> str:
    """How an index is written in a path: a constant as itself, anything else with a question mark."""
    if isinstance(index, ast.Constant):
        return f"[{index.value!s}]"
    if isinstance(index, ast.UnaryOp) and isinstance(index.operand, ast.Constant):
        return f"[-{index.operand.value!s}]"
    return f"[?{ast.unparse(index)}]"


class Reader:
    """Fills the scopes of one module. ``functions`` and ``classes``: all of them, nested ones too."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.functions: list[Function] = []
        self.classes: list[Class] = []

    def read(self, tree: ast.Module) -> Scope:
        """The scope of the module itself."""
        scope = Scope(tree, self.module)
        self._body(tree.body, scope)
        return scope

    def _body(self, body: Iterable[ast.stmt], scope: Scope) -> None:
        for statement in body:
            if isinstance(statement, ast.Assign):
                for target in statement.targets:
                    self._bind(target, statement.value, "is", scope)
            elif isinstance(statement, SIMPLE):
                continue
            elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                scope.functions[statement.name] = self._function(statement, scope, None)
            elif isinstance(statement, ast.ClassDef):
                self._class(statement, scope)
            elif isinstance(statement, ast.AnnAssign):
                if statement.value is not None:
                    self._bind(statement.target, statement.value, "is", scope)
                if isinstance(statement.target, ast.Name):
                    scope.annotations[statement.target.id] = statement.annotation
            elif isinstance(statement, (ast.Import, ast.ImportFrom)):
                self._import(statement, scope)
            elif isinstance(statement, (ast.Global, ast.Nonlocal)):
                scope.elsewhere.update(statement.names)
            else:
                self._compound(statement, scope)

    def _compound(self, statement: ast.stmt, scope: Scope) -> None:
        if isinstance(statement, ast.If):
            for branch in chain_of(statement):
                self._body(branch.body, scope)
            self._body(branch.orelse, scope)
            return
        if isinstance(statement, (ast.For, ast.AsyncFor)):
            self._bind(statement.target, statement.iter, "item", scope)
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            for item in statement.items:
                if item.optional_vars is not None:
                    self._bind(item.optional_vars, item.context_expr, "with", scope)
        for name in ("body", "orelse", "finalbody"):
            self._body(getattr(statement, name, ()), scope)
        for name in ("handlers", "cases"):
            for part in getattr(statement, name, ()):
                self._body(part.body, scope)

    def _bind(self, target: ast.expr, value: ast.expr, how: str, scope: Scope) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            for part, source, kind in _shared_out(target.elts, value, how):
                self._bind(part, source, kind, scope)
            return
        parts = chain(target)
        if not parts:
            return
        found = Value(value, how, scope)
        if len(parts) == 1:
            home = scope
            if parts[0] in scope.elsewhere:
                home = self._home(parts[0], scope)
            home.values.setdefault(parts[0], []).append(found)
        elif scope.owner is not None and scope.parameters[:1] == [parts[0]]:
            scope.owner.attributes.setdefault(parts[1:], []).append(found)
        else:
            scope.attributes.setdefault(parts, []).append(found)

    def _home(self, name: str, scope: Scope) -> Scope:
        while scope.parent is not None and name in scope.elsewhere:
            scope = scope.parent
        return scope

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, parent: Scope, owner: Class | None) -> Function:
        function = make_function(node, node.name, parent, owner)
        self.functions.append(function)
        self._body(node.body, function.scope)
        return function

    def _class(self, node: ast.ClassDef, scope: Scope) -> None:
        made = Class(node.name, node, self.module, scope)
        scope.classes[node.name] = made
        self.classes.append(made)
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                made.methods[statement.name] = self._function(statement, scope, made)
            elif isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        made.attributes.setdefault((target.id,), []).append(Value(statement.value, "is", scope))
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                made.annotations[statement.target.id] = statement.annotation
                if statement.value is not None:
                    made.attributes.setdefault((statement.target.id,), []).append(Value(statement.value, "is", scope))
            elif isinstance(statement, ast.ClassDef):
                self._class(statement, Scope(node, self.module, scope))

    def _import(self, statement: ast.Import | ast.ImportFrom, scope: Scope) -> None:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                name = alias.asname or alias.name.partition(".")[0]
                scope.imports[name] = (alias.name if alias.asname else name, "")
            return
        origin = "." * statement.level + (statement.module or "")
        for alias in statement.names:
            name = f"*{origin}" if alias.name == "*" else alias.asname or alias.name
            scope.imports[name] = (origin, alias.name)


def make_function(node: FunctionNode, name: str, parent: Scope, owner: Class | None = None) -> Function:
    """A function with a scope that has its parameters, and nothing assigned yet."""
    arguments = node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    scope = Scope(node, parent.module, parent, owner, [a.arg for a in listed])
    scope.annotations = {a.arg: a.annotation for a in listed if a.annotation is not None}
    for extra in (arguments.vararg, arguments.kwarg):
        if extra is not None:
            scope.parameters.append(extra.arg)
    return Function(name, node, scope, owner)


def _shared_out(targets: list[ast.expr], value: ast.expr, how: str) -> Iterable[tuple[ast.expr, ast.expr, str]]:
    """What each of several targets gets of one value."""
    sources: list[ast.expr] = []
    if how == "is" and isinstance(value, (ast.Tuple, ast.List)):
        sources = value.elts
    elif how == "is" and isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "prepare":
        sources = value.args  # accelerate gives back what it is given, in the same order
    elif how == "item" and isinstance(value, ast.Call) and getattr(value.func, "id", "") in ("zip", "enumerate"):
        sources = value.args if getattr(value.func, "id", "") == "zip" else [value.func, *value.args[:1]]
    if len(sources) == len(targets) and not any(isinstance(part, ast.Starred) for part in (*targets, *sources)):
        return [(target, source, how) for target, source in zip(targets, sources, strict=True)]
    return [(target, value, "part" if how == "is" else f"{how} part") for target in targets]
