"""The files that are checked together: each read once, found by the names under which others import them."""

from __future__ import annotations

import ast
import os
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from functools import cached_property, lru_cache
from pathlib import Path

from zerograd.linting.calling import Calling
from zerograd.linting.exporting import exports
from zerograd.linting.patterns import pattern
from zerograd.linting.reading import RELEVANT, Source, UnreadableError, read_source
from zerograd.linting.receivers import GRADIENT_HOOKS
from zerograd.linting.scopes import Class, Function, Reader, Scope
from zerograd.linting.trees import walk_tree
from zerograd.stand_ins import Any, TypeVar

T = TypeVar("T")

TELLING = pattern(
    r"yield|backward|step|zero|^opt|_opt|optim|Opt|^_?grad$|closure|loop|^(?:run|on|before|after|call|fire|emit|sync)"
)
TELLING_IN_ANY_CASE = pattern(
    r"train|fit|learn|backprop|bwd|grad|hook|callback|dispatch|minimi[sz]e|accumul|engine|trigger|execute"
)
"""Words of lines that may have to do with gradients. All other lines are not looked at closely."""
WORD = pattern(r"[^\W\d]\w*")

ACTING = pattern(r"\.\s*step\b|zero_grad|backward|_step\s*\(|\._?grad\b[^=\n]*=|\.grad\b.*_\(|autograd\.grad")
STEPPING = pattern(r"\.\s*step\b|optimizer_step")
TOO_COMMON = frozenset({"forward", "__init__", "get", "main", "__enter__", "__exit__", "__iter__", "__next__"})
ITSELF = {"forward": "self.forward("}
"""Of the names that are too common, those that are followed where an object calls its own method."""
USED = pattern(r"\.\s*(zero_grad|param_groups|step|parameters|named_parameters|train|eval)\b")
RECEIVER = pattern(r"(\w+)(?:\[[^\]]*\])?\s*$")
LONGEST = 80
DATA = 2000
"""A line of more characters is no program that somebody reads."""
DECLARED = pattern(r"(\w+)\s*[:,]\s*[\w.]*\bOptimizer\b")
LENT = pattern(r"\.\s*zero_grad\b(?!\s*\()")
ROUNDS = 6
CHAIN = 3
"""So many imports are followed one after the other, while a file is read."""
HOPS = 4
"""So many packages hand a name on."""
STARS = 12
"""So many files are looked into for ``from package import *``."""
PACKAGE = "__init__.py"
DOING = pattern(r"\.\s*step\b|zero_grad|backward|_step\s*\(")
"""What an imported file's own imports must have in them to be followed: they do something to gradients."""


def used_names(text: str) -> tuple[set[str], set[str]]:
    """The names on which an optimizer's methods are called, whatever they are called, and those with a module's."""
    used: dict[str, set[str]] = {}
    for match in USED.finditer(text):
        receiver = RECEIVER.search(text[max(0, match.start() - LONGEST) : match.start()])
        if receiver is not None:
            used.setdefault(receiver[1], set()).add(match[1])
    optimizers = {
        name for name, methods in used.items() if "step" in methods and methods & {"zero_grad", "param_groups"}
    }
    if "Optimizer" in text:
        lines = (line for line in text.split("\n") if "Optimizer" in line)
        optimizers.update(name for line in lines for name in DECLARED.findall(line))
    return optimizers, {name for name, methods in used.items() if methods - {"step", "param_groups"}}


@lru_cache(maxsize=4096)
def is_telling(word: str) -> bool:
    """Whether a line with this word may have to do with gradients."""
    return bool(TELLING.search(word) or TELLING_IN_ANY_CASE.search(word.lower()))


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
        self.rows, self.text = _without_data(source)
        """The lines, and the text, in which words are looked for."""
        self.hooked = bool(GRADIENT_HOOKS.search(self.text))
        self.optimizer_names, self.module_names = used_names(self.text)
        """Names with an optimizer's methods, and names with a module's."""
        self.lines = [(n, line) for n, line in enumerate(self.rows, start=1) if not line.lstrip().startswith("#")]
        self.returning = [number for number, line in self.lines if "return" in line]
        self.stepping, self.step_names = self._spread(STEPPING, files.imported_names(self, "step_names"))
        """The lines that take a step or call a function that does, and the names of such functions."""
        self.acting, self.act_names = self._spread(ACTING, files.imported_names(self, "act_names"))
        """The same for all that is done to gradients."""
        self.clearing = [number for number, line in self.lines if "zero_grad" in line]
        self.going_back = [number for number, line in self.lines if "backward" in line]
        self.telling = self._telling()
        """The lines that have to be looked at closely: those, and calls that may do anything."""
        self.calling = Calling(self)
        self._answers: dict[tuple[str, ast.AST], Any] = {}

    def _spread(self, pattern: re.Pattern[str], names: set[str]) -> tuple[list[int], set[str]]:
        marked = {
            number
            for number, line in self.lines
            if ("step" in line or "grad" in line or "backward" in line) and pattern.search(line)
        }
        known: set[str] = set()
        found = sorted(marked)
        for _ in range(ROUNDS if found or names else 0):
            names = names | {f.name for f in self.functions if within(found, f.node)}
            fresh = names - known - TOO_COMMON
            own = [self_call for name, self_call in ITSELF.items() if name in names]
            inner = {n for n, line in self.lines if own and any(words in line for words in own)} - marked
            if not fresh and not inner:
                break
            known |= fresh
            marked |= inner
            if "__call__" in fresh:
                marked |= {number for number, line in self.lines if "(" in line}
            else:
                marked.update(*(self.words[word] for word in fresh if word in self.words))
            found = sorted(marked)
        return found, known

    def _telling(self) -> list[int]:
        cycling = bool(self.clearing and self.going_back)
        if not self.stepping and not cycling and not (self.imported and self.acting):
            return []
        found = {number for number, line in self.lines if "self(" in line}
        found.update(*(at for word, at in self.words.items() if word in self.optimizer_names or is_telling(word)))
        return sorted(found.union(self.acting))

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
    def words(self) -> dict[str, list[int]]:
        """The lines of each word."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, line in self.lines:
            for word in WORD.findall(line):
                found[word].append(number)
        return found

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

    def mentions(self, node: object, word: str) -> bool:
        """Whether a word is in the lines of a node."""
        lines = self.source.lines[getattr(node, "lineno", 1) - 1 : getattr(node, "end_lineno", 0)]
        return any(word in line for line in lines)

    def returns(self, node: object) -> bool:
        """Whether a node may have a return in it."""
        return within(self.returning, node)

    def touches(self, node: object) -> bool:
        """Whether a node of the tree has a line that may have to do with gradients."""
        return within(self.telling, node)

    def steps(self, node: object) -> bool:
        """Whether a node has a line that takes a step, or calls something of the file that does."""
        return within(self.stepping, node)

    def cycles(self, node: object) -> bool:
        """Whether a node has a line that clears and one that goes backward."""
        return within(self.clearing, node) and within(self.going_back, node)

    def acts(self, node: object) -> bool:
        """Whether a node has a line that makes, uses or clears gradients, or calls something of the file that does."""
        return within(self.acting, node)


def _without_data(source: Source) -> tuple[list[str], str]:
    """Lines and text without what is too long for a line of a program: pictures and tables, written as strings."""
    if not any(len(line) > DATA for line in source.lines):
        return source.lines, source.text
    rows = [line if len(line) <= DATA else "" for line in source.lines]
    return rows, "\n".join(rows)


def within(numbers: list[int], node: object) -> bool:
    """Whether one of the sorted line numbers is a node's."""
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    index = bisect_left(numbers, first)
    return index < len(numbers) and numbers[index] <= last


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

    def imported_names(self, module: Module, which: str) -> set[str]:
        """Names of functions and methods that step ("step_names"), or act, in the files that a module imports."""
        names: set[str] = set()
        for origin, name in list(module.scope.imports.values()):
            for other in self.brought(module, origin, name):
                found: set[str] = getattr(other, which)
                names |= found
        return names

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
            self._relevant[key] = bool((DOING if far else RELEVANT).search(source.text))
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
