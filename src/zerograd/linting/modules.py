"""The files that are checked together: each read once, found by the names under which others import them."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from zerograd.linting.calling import Calling
from zerograd.linting.exporting import exports
from zerograd.linting.lines import ACTING, STEPPING, Lines, Marks, within
from zerograd.linting.naming import used_names
from zerograd.linting.patterns import pattern
from zerograd.linting.reading import Source, UnreadableError, is_relevant, read_source
from zerograd.linting.receivers import GRADIENT_HOOKS
from zerograd.linting.scopes import Class, Function, Reader, Scope
from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import Any, TypeVar

T = TypeVar("T")

LENT = pattern(r"\.\s*zero_grad\b(?!\s*\()")
CHAIN = 3
"""So many imports are followed one after the other, while a file is read."""
HOPS = 4
"""So many packages hand a name on."""
STARS = 12
"""So many files are looked into for ``from package import *``."""
PACKAGE = "__init__.py"
DOING = pattern(r"\.\s*step\b|zero_grad|backward|_step\s*\(")
"""What an imported file's own imports must have in them to be followed: they do something to gradients."""


class Module:
    """A file: its tree, its scopes, and the lines that matter."""

    def __init__(self, source: Source, files: Files, imported: bool = False) -> None:
        self.source = source
        self.imported = imported
        self.files = files
        self.tree = source.parse()
        reader = Reader(self)
        self.scope: Scope = reader.read(self.tree)
        self.functions: list[Function] = reader.functions
        self.classes: list[Class] = reader.classes
        self.lines = Lines(source)
        self.rows, self.text = self.lines.rows, self.lines.text
        self.hooked = bool(GRADIENT_HOOKS.search(self.text))
        self.optimizer_names, self.module_names = used_names(self.text)
        """Names with an optimizer's methods, and names with a module's."""
        imported_from = files.imported(self)
        self.step_names: set[str] = set().union(*(other.step_names for other in imported_from))
        self.stepping, self.step_names = self.lines.spread(STEPPING, self.step_names, self.functions)
        """The lines that take a step or call a function that does, and the names of such functions."""
        self.act_names: set[str] = set().union(*(other.act_names for other in imported_from))
        self.acting, self.act_names = self.lines.spread(ACTING, self.act_names, self.functions)
        """The same for all that is done to gradients."""
        self.clearing = self.lines.having("zero_grad")
        self.going_back = self.lines.having("backward")
        cycling = bool(self.clearing and self.going_back)
        looked_at = self.stepping or cycling or (imported and self.acting)
        telling = self.lines.telling(self.optimizer_names, self.acting) if looked_at else []
        self.touches = self.lines.marks(telling).within
        """Whether a node of the tree has a line that may have to do with gradients."""
        self.matters = self.lines.marks([*telling, *self.lines.jumping] if looked_at else []).within
        """Whether a statement has one, or a line after which a run may go on elsewhere."""
        self.acts = self.lines.marks(self.acting).within
        """Whether a node has a line that makes, uses or clears gradients, or calls something of the file that does."""
        self.calling = Calling(self)
        self._answers: dict[tuple[str, ast.AST], Any] = {}

    @cached_property
    def scopes(self) -> list[Scope]:
        """The scopes of the file, of all functions, and of what classes are nested in."""
        return [self.scope, *(f.scope for f in self.functions), *(c.scope for c in self.classes)]

    @cached_property
    def bound_names(self) -> set[str]:
        """All names that are bound in any scope."""
        found: set[str] = set()
        for scope in self.scopes:
            found.update(scope.values, scope.parameters, scope.functions, scope.classes, scope.imports)
        return found

    @cached_property
    def known_functions(self) -> set[str]:
        """The names of the functions and methods of this file, and of those elsewhere that act on gradients."""
        return {f.name for f in self.functions} | self.act_names

    @cached_property
    def lends_zero_grad(self) -> bool:
        """Whether the method zero_grad is handed to something, which may call it at any time."""
        if not LENT.search(self.text):
            return False
        own = set()
        for node in walk_tree(self.tree):
            if isinstance(node, ast.Call):
                own.add(node.func)
            elif isinstance(node, ast.Expr):
                own.add(node.value)
        return any(
            isinstance(n, ast.Attribute) and n.attr == "zero_grad" and n not in own for n in walk_tree(self.tree)
        )

    def once(self, question: str, node: ast.AST, answer: Callable[[Any], T]) -> T:
        """What ``answer`` says about a node. It is asked once: functions are looked at as often as they are called."""
        try:
            found: T = self._answers[question, node]
        except KeyError:
            found = self._answers[question, node] = answer(node)
        return found

    @cached_property
    def speaks_of_grad(self) -> Callable[[ast.expr | ast.stmt], bool]:
        """Whether the word "grad" is in the lines of a node."""
        lines = self.source.lines
        return Marks((number for number, line in enumerate(lines, 1) if "grad" in line), len(lines)).within

    @cached_property
    def returns(self) -> Callable[[ast.expr | ast.stmt], bool]:
        """Whether a node may have a return in it."""
        return self.lines.marks(self.lines.having("return")).within

    def steps(self, node: ast.expr | ast.stmt) -> bool:
        """Whether a node has a line that takes a step, or calls something of the file that does."""
        return within(self.stepping, node)

    def cycles(self, node: ast.expr | ast.stmt) -> bool:
        """Whether a node has a line that clears and one that goes backward."""
        return within(self.clearing, node) and within(self.going_back, node)


class Files:
    """All files that may be looked into. ``roots``: folders; imports are followed within them."""

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self.roots = tuple(os.path.normpath(root) for root in roots)
        self._modules: dict[str, Module | None] = {}
        self._found: dict[tuple[str, str], str | None] = {}
        self._sources: dict[str, Source | None] = {}
        self._relevant: dict[tuple[str, bool], bool] = {}
        self._depth = 0

    def load(self, source: Source) -> Module:
        """The module of a source. Raises UnreadableError."""
        return Module(source, self)

    def at(self, path: str) -> Module | None:
        """The module of a path that was looked into."""
        return self._modules.get(os.path.normpath(path))

    def imported(self, module: Module) -> list[Module]:
        """The modules that a module imports anything from."""
        brought = (self.brought(module, *imported) for imported in list(module.scope.imports.values()))
        return list(dict.fromkeys(other for several in brought for other in several))

    def brought(self, module: Module, origin: str, name: str) -> list[Module]:
        """The modules that ``from origin import name`` brings something of: one, or several for ``*`` of a package."""
        if name != "*":
            other = self.find(module, origin, name) or (self.find(module, f"{origin}.{name}") if name else None)
            return [other] if other is not None and other is not module else []
        path = self._located(module.source.path, origin)
        several = [path] if path is not None else []
        found = []
        for at in several:
            found.append(self._module(module, at))
            if at.endswith(PACKAGE) and len(several) < STARS and (source := self._source(at)) is not None:
                named, everything = exports(source.text)
                inner = {inner for inner in (*named.values(), *everything) if inner[0] == "."}
                several += [further for o in sorted(inner) if (further := self._located(at, o)) is not None]
        return list(dict.fromkeys(other for other in found if other is not None and other is not module))

    def find(self, module: Module, origin: str, name: str = "") -> Module | None:
        """The module that is imported as ``origin`` ("..engine", "pkg.engine"), if its file may be looked into.

        ``name``: what is imported from there. Where a package's ``__init__`` only hands it on, it is the module that
        has it. What an imported file imports is followed, too, but only into files that do something to gradients,
        and only so far while a file is read: chains of imports may lead through all of a package.
        """
        path = self._located(module.source.path, origin)
        for _ in range(HOPS):
            if not name or path is None or not path.endswith(PACKAGE):
                break
            further = self._handed_on(path, name)
            if further is None:
                break
            path = further
        return self._module(module, path) if path is not None else None

    def _handed_on(self, path: str, name: str) -> str | None:
        """The file that a package's ``__init__`` has a name from."""
        source = self._source(path)
        if source is None:
            return None
        names, everything = exports(source.text)
        if name in names:
            return self._located(path, names[name])
        for origin in everything:
            further = self._located(path, origin)
            text = getattr(self._source(further), "text", "") if further is not None and further != path else ""
            if re.search(
                rf"^(?:def|class|async def)\s+{re.escape(name)}\b|\bimport\b[^\n]*\b{re.escape(name)}\b", text, re.M
            ):
                return further
        return None

    def _located(self, importer: str, origin: str) -> str | None:
        """The file of what another file imports as ``origin``."""
        if not self.roots or not origin.strip("."):
            return None
        folder = os.path.dirname(importer) or "."
        if (folder, origin) not in self._found:
            self._found[folder, origin] = self._file(folder, origin)
        return self._found[folder, origin]

    def _module(self, importer: Module, path: str) -> Module | None:
        source = self._source(path)
        if source is None or not self._matters(source, importer.imported):
            return None
        if path not in self._modules and self._depth < CHAIN:
            self._modules[path] = None
            self._depth += 1
            try:
                self._modules[path] = Module(source, self, imported=True)
            except UnreadableError:
                return None
            finally:
                self._depth -= 1
        return self._modules.get(path)

    def _matters(self, source: Source, far: bool) -> bool:
        key = (source.path, far)
        if key not in self._relevant:
            self._relevant[key] = bool(DOING.search(source.text)) if far else is_relevant(source.text)
        return self._relevant[key]

    def _source(self, path: str) -> Source | None:
        if path not in self._sources:
            try:
                self._sources[path] = read_source(Path(path))
            except UnreadableError:
                self._sources[path] = None
        return self._sources[path]

    def _file(self, folder: str, origin: str) -> str | None:
        bare = origin.lstrip(".")
        dots = len(origin) - len(bare)
        folders = [folder]
        while (parent := os.path.dirname(folders[-1])) not in (folders[-1], ""):
            folders.append(parent)
        if dots:
            bases = folders[dots - 1 : dots]
        else:
            bases = [base for base in folders if self._inside(base)]
            if bases and os.path.exists(os.path.join(bases[-1], "__init__.py")):
                bases.append(os.path.dirname(bases[-1]))
        for base in bases:
            stem = os.path.join(base, *bare.split("."))
            for path in (f"{stem}.py", os.path.join(stem, "__init__.py")):
                if self._inside(path) and os.path.isfile(path):
                    return os.path.normpath(path)
        return None

    def _inside(self, path: str) -> bool:
        normal = os.path.normpath(path)
        return any(root in (".", normal) or normal.startswith(root + os.sep) for root in self.roots)
