"""The files that are checked together: each read once, found by the names under which others import them."""

from __future__ import annotations

import ast
import re
from bisect import bisect_left
from functools import cached_property
from pathlib import Path

from zerograd.linting.receivers import GRADIENT_HOOKS
from zerograd.linting.scopes import Class, Function, Reader, Scope
from zerograd.linting.source import Source, Unreadable, read_source

TELLING = re.compile(
    r"backward|\.\s*step\b|zero_grad|\bopt|[_.]opt|optim|Opt|\.\s*_?grad\b|_step\s*\(|closure|\bself\s*\("
    r"|(?i:train|fit|learn|backprop|bwd|grad|hook|callback|dispatch|minimi[sz]e|accumul|engine|trigger|execute)\w*\s*\("
    r"|\b(?:run|on|before|after|call|fire|emit|step|sync)\w*\s*\(|zero\w*\s*\(|loop\w*\s*\("
)
"""Lines that may have to do with gradients. All others are not looked at closely."""

CENTRAL = re.compile(r"\.\s*step\b|zero_grad|backward")
RECEIVER = re.compile(r"(\w+)(?:\[[^\]]*\])?\s*\.\s*(zero_grad|param_groups|step)\b(?:\s*\()?")
LENT = re.compile(r"\.\s*zero_grad\b(?!\s*\()")
ROUNDS = 6


class Module:
    """A file: its tree, its scopes, and the lines that matter."""

    def __init__(self, source: Source, files: Files) -> None:
        self.source = source
        self.files = files
        self.tree = source.parse()
        reader = Reader(self)
        self.scope: Scope = reader.read(self.tree)
        self.functions: list[Function] = reader.functions
        self.classes: list[Class] = reader.classes
        self.hooked = bool(GRADIENT_HOOKS.search(source.text))
        used: dict[str, set[str]] = {}
        for match in RECEIVER.finditer(source.text):
            used.setdefault(match[1], set()).add(match[2])
        self.optimizer_names = {
            name for name, methods in used.items() if {"zero_grad", "step"} <= methods or {"param_groups", "step"} <= methods
        }
        """Names with an optimizer's methods, whatever they are called."""
        self.telling: list[int] = []
        self.by_call: set[str] = set()
        """Names of functions that have to do with gradients."""
        self._mark()

    def _mark(self) -> None:
        lines = self.source.lines
        pattern = TELLING.pattern
        if self.optimizer_names:
            pattern += "|" + "|".join(rf"\b{re.escape(name)}\b" for name in sorted(self.optimizer_names))
        telling = re.compile(pattern)
        marked = {number for number, line in enumerate(lines, start=1) if telling.search(line)}
        self.telling = sorted(marked)
        names = set(self.files.imported_calls(self))
        for _ in range(ROUNDS):
            names |= {f.name for f in self.functions if f.name not in names and self.touches(f.node)}
            fresh = names - self.by_call
            if not fresh:
                return
            self.by_call |= fresh
            if {"__call__", "forward"} & fresh:
                marked |= {number for number, line in enumerate(lines, start=1) if "(" in line}
            calls = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(fresh)))})\b")
            marked |= {number for number, line in enumerate(lines, start=1) if calls.search(line)}
            self.telling = sorted(marked)

    @cached_property
    def lends_zero_grad(self) -> bool:
        """Whether the method zero_grad is handed to something, which may call it at any time."""
        if not LENT.search(self.source.text):
            return False
        own = set()
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                own.add(node.func)
            elif isinstance(node, ast.Expr):
                own.add(node.value)
        return any(isinstance(n, ast.Attribute) and n.attr == "zero_grad" and n not in own for n in ast.walk(self.tree))

    def touches(self, node: object) -> bool:
        """Whether a node of the tree has a line that may have to do with gradients."""
        first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
        index = bisect_left(self.telling, first)
        return index < len(self.telling) and self.telling[index] <= last


class Files:
    """All files that may be looked into. ``roots``: folders; imports are followed within them."""

    def __init__(self, roots: tuple[Path, ...] = ()) -> None:
        self.roots = roots
        self._modules: dict[str, Module | None] = {}

    def load(self, source: Source) -> Module:
        """The module of a source. Raises Unreadable."""
        module = Module(source, self)
        self._modules[source.path] = module
        return module

    def imported_calls(self, module: Module) -> set[str]:
        """Names of functions and methods that have to do with gradients, in the files that a module imports."""
        names: set[str] = set()
        for origin, name in list(module.scope.imports.values()):
            other = self.find(module, origin) or (self.find(module, f"{origin}.{name}") if name else None)
            if other is not None and other is not module:
                names |= other.by_call
                if name and "__call__" in other.by_call:
                    names.add("__call__")
        return names

    def find(self, module: Module, origin: str) -> Module | None:
        """The module that is imported as ``origin`` ("..engine", "pkg.engine"), if its file may be looked into."""
        path = self._file(module, origin)
        if path is None:
            return None
        if str(path) not in self._modules:
            self._modules[str(path)] = None  # while it is being read, a circle of imports ends here
            try:
                self._modules[str(path)] = Module(read_source(path), self)
            except Unreadable:
                return None
        return self._modules[str(path)]

    def _file(self, module: Module, origin: str) -> Path | None:
        if not self.roots or not origin.strip("."):
            return None
        folder = Path(module.source.path).parent
        bare = origin.lstrip(".")
        dots = len(origin) - len(bare)
        if dots:
            bases = [folder, *folder.parents][dots - 1 : dots]
        else:
            bases = [base for base in (folder, *folder.parents) if self._inside(base)]
            if bases and (bases[-1] / "__init__.py").exists():
                bases.append(bases[-1].parent)
        for base in bases:
            stem = base.joinpath(*bare.split("."))
            for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
                if self._inside(path) and path.is_file():
                    return path
        return None

    def _inside(self, path: Path) -> bool:
        return any(root == path or root in path.parents for root in self.roots)
