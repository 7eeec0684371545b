"""Whether a program keeps gradients for its own use: what was read before a clear was not thrown away unused.

So do A-GEM and MGDA, which combine the gradients of several losses by hand, and sums of squared gradients (Fisher
information). It is read in the source, of the functions that call backward or clear and of those that they call in the
same file. A norm that is printed, a question whether a gradient is there and a change in place keep nothing.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from zerograd.lifecycle.sites import Trail

FIGURES = frozenset(
    {
        "norm", "item", "max", "min", "amax", "amin", "mean", "sum", "std", "var", "any", "all", "numel", "dim", "size",
        "isnan", "isfinite", "isinf", "nan_to_num", "vector_norm", "get_total_norm", "count_nonzero", "shape", "device",
        "dtype", "is_sparse", "layout", "print", "len", "id", "isinstance", "hasattr", "float", "bool", "add_histogram",
        "Histogram",
    }
)  # fmt: skip
"""What makes a figure of a gradient, to look at."""

COMBINING = frozenset({"sum", "mean", "std", "var", "max", "min", "amax", "amin", "any", "all", "nan_to_num"})
"""Those that, of several gradients or along one dimension, may make another gradient."""

SHAPING = frozenset(
    {"detach", "data", "cpu", "flatten", "view", "reshape", "ravel", "float", "double", "abs", "square", "cat", "stack"}
)
"""What leaves a gradient one, for a figure that is made of it next."""


NORMS = frozenset({"clip_grad_norm_", "get_total_norm"})
"""What gives the norm of gradients."""


@dataclass
class Function:
    """A function, or the module's own statements. calls: the names that it calls, and the lines.

    looks: the lines at which it reads a gradient, or has its norm computed, and does not change it.
    """

    first: int
    last: int
    keeps: bool = False
    calls: dict[str, list[int]] = field(default_factory=dict)
    looks: list[int] = field(default_factory=list)


Parents = tuple[ast.AST, ...]


def keeps_gradients(where: Trail) -> bool:
    """Whether the functions of these frames, or those that they call, keep gradients."""
    return any(
        function.keeps
        for site in where
        if (around := _around(functions := _functions(site.file), site.line)) is not None
        for function in _with_called(functions, [around])
    )


def is_measured(backward: Trail, clear: Trail) -> bool:
    """Whether gradients are looked at on the way from backward to the clear, in the function that holds both.

    The way may lead round a loop. What is measured and no step ever uses has had its use, say a norm to weigh by.
    """
    for site in backward:
        functions = _functions(site.file)
        around = _around(functions, site.line)
        if around is None:
            continue
        looking = [line for name, lines in around.calls.items() if _looks(functions, name) for line in lines]
        for end in (one.line for one in clear if one.file == site.file and around.first <= one.line <= around.last):
            if any((line > site.line) + (line < end) > (site.line < end) for line in around.looks + looking):
                return True
    return False


def _around(functions: dict[str, list[Function]], line: int) -> Function | None:
    """The innermost function that a line is in."""
    found = (f for named in functions.values() for f in named if f.first <= line <= f.last)
    return max(found, key=lambda f: f.first, default=None)


def _looks(functions: dict[str, list[Function]], name: str) -> bool:
    """Whether a function of this name, or one that it calls, looks at gradients."""
    return any(function.looks for function in _with_called(functions, functions.get(name, [])))


def _with_called(functions: dict[str, list[Function]], first: Iterable[Function]) -> Iterator[Function]:
    """These functions, and all functions of the file that they call."""
    waiting, seen = list(first), set[int]()
    while waiting:
        function = waiting.pop()
        if id(function) not in seen:
            seen.add(id(function))
            yield function
            waiting.extend(f for name in function.calls for f in functions.get(name, []))


def reads_inputs(where: Trail) -> bool:
    """Whether a file of these frames reads gradients that are not those of parameters: it may attack its inputs.

    An input may also require gradients because the loss holds derivatives with respect to it: nobody reads those.
    """
    return not where or any(_reads_others(file) for file in {site.file for site in where})


@functools.cache
def _reads_others(file: str) -> bool:
    tree = _tree(file)
    if not tree.body:
        return True
    nodes = list(ast.walk(tree))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    loops = [node for node in nodes if isinstance(node, ast.For | ast.comprehension) and _is_of_parameters(node.iter)]
    own = {name.id for loop in loops for name in ast.walk(loop.target) if isinstance(name, ast.Name)}
    reads = (n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load))
    return any(
        node.attr in ("register_hook", "retain_grad", "_grad")
        or (node.attr == "grad" and id(node) not in called and getattr(node.value, "id", None) not in own)
        for node in reads
    )


def _is_of_parameters(node: ast.AST) -> bool:
    return any(
        (isinstance(n, ast.Attribute) and n.attr in ("parameters", "named_parameters", "param_groups"))
        or (isinstance(n, ast.Constant) and n.value == "params")
        for n in ast.walk(node)
    )


def is_in_loop_before(backward: Trail, clear: Trail, step: Trail) -> bool:
    """Whether backward and clear stand in a for loop that no break leaves, and the step after it.

    All rounds but the last are thrown away then, however many they are.
    """
    return any(
        _has(backward, file, first, last) and _has(clear, file, first, last) and _has(step, file, last + 1, end)
        for file in {site.file for site in step}
        for first, last, end in _loops(file)
    )


def _has(where: Trail, file: str, first: int, last: int) -> bool:
    """Whether one of these frames is in these lines of a file."""
    return any(site.file == file and first <= site.line <= last for site in where)


def is_tried_before(backward: Trail, clear: Trail) -> bool:
    """Whether backward runs inside a ``try`` and the clear stands outside it, in a loop round both.

    An error leads from one to the other, such as lack of memory, after which a batch is tried again in smaller parts.
    """
    return any(
        one.file == other.file and first <= one.line <= last and start <= other.line <= end
        and not first <= other.line <= last
        for one in backward
        for other in clear
        for start, end, first, last in _tries(one.file)
    )  # fmt: skip


@functools.cache
def _tries(file: str) -> list[tuple[int, int, int, int]]:
    """First and last line of each loop, with those of the body of a ``try`` in it whose handlers go on."""
    found = []
    for loop in ast.walk(_tree(file)):
        if isinstance(loop, ast.For | ast.While):
            for node in ast.walk(loop):
                if isinstance(node, ast.Try) and any(not isinstance(h.body[-1], ast.Raise) for h in node.handlers):
                    body = node.body[0].lineno, node.body[-1].end_lineno or 0
                    found.append((loop.lineno, loop.end_lineno or 0, *body))
    return found


@functools.cache
def _loops(file: str) -> list[tuple[int, int, int]]:
    """First and last line of each for loop that nothing leaves early, and the last line of the block round it."""
    found = []
    for node in ast.walk(_tree(file)):
        for name in ("body", "orelse", "finalbody"):
            block: Any = getattr(node, name, None)
            for loop in block if isinstance(block, list) else ():
                if isinstance(loop, ast.For) and not any(isinstance(n, ast.Break | ast.Return) for n in ast.walk(loop)):
                    found.append((loop.lineno, loop.end_lineno or 0, block[-1].end_lineno or 0))
    return found


def _tree(file: str) -> ast.Module:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ast.Module([], [])


@functools.cache
def _functions(file: str) -> dict[str, list[Function]]:
    tree = _tree(file)
    found: dict[str, list[Function]] = {}
    _collect(tree, "", Function(0, 1 << 60), found, set(_inputs(tree)))
    return found


def _inputs(tree: ast.AST) -> Iterator[str]:
    """Names that are told to require gradients: an attack reads those of its inputs, not of parameters."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            asks = isinstance(node.value, ast.Call) and (
                _name(node.value.func) == "requires_grad_" or any(k.arg == "requires_grad" for k in node.value.keywords)
            )
            for target in node.targets:
                if asks and isinstance(target, ast.Name):
                    yield target.id
                elif isinstance(target, ast.Attribute) and target.attr == "requires_grad":
                    yield getattr(target.value, "id", "")
        elif isinstance(node, ast.Attribute) and node.attr == "requires_grad_":
            yield getattr(node.value, "id", "")


def _collect(root: ast.AST, name: str, function: Function, found: dict[str, list[Function]], inputs: set[str]) -> None:
    found.setdefault(name, []).append(function)
    inside = list(_inside(root, ()))
    for node, parents in inside:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            _collect(node, node.name, Function(node.lineno, node.end_lineno or node.lineno), found, inputs)
        elif isinstance(node, ast.Call):
            name = _name(node.func)
            function.calls.setdefault(name, []).append(node.lineno)
            if name in NORMS and not isinstance(parents[0], ast.Expr):
                function.looks.append(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr == "grad" and isinstance(node.ctx, ast.Load):
            if isinstance(parents[0], ast.Call) and parents[0].func is node:
                continue  # torch.autograd.grad(...)
            if not _is_changed(parents):
                function.looks.append(node.lineno)
            kept = getattr(node.value, "id", None) not in inputs and _is_kept(node, parents)
            function.keeps |= kept and not _is_looked_at(node, parents, inside, frozenset())


def _inside(node: ast.AST, parents: tuple[ast.AST, ...]) -> Iterator[tuple[ast.AST, tuple[ast.AST, ...]]]:
    """All nodes of a function but those of functions in it, each with its parents, the innermost first."""
    for child in ast.iter_child_nodes(node):
        yield child, (node, *parents)
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _inside(child, (node, *parents))


def _is_changed(parents: Parents) -> bool:
    """Whether a gradient is only asked for, ``p.grad is None``, or written to, ``p.grad.data.zero_()``."""
    for parent in parents:
        if isinstance(parent, ast.Attribute):
            if parent.attr.endswith("_"):
                return True
        elif not isinstance(parent, ast.Call):
            return isinstance(parent, ast.Compare | ast.If | ast.comprehension | ast.Delete)
    return False


def _is_kept(node: ast.AST, parents: tuple[ast.AST, ...]) -> bool:
    child = node
    for parent in parents:
        if isinstance(parent, ast.Attribute):
            if parent.attr in FIGURES or (parent.attr.endswith("_") and not parent.attr.endswith("__")):
                return False
        elif isinstance(parent, ast.Call):
            if child is not parent.func and _name(parent.func) in FIGURES:
                return False
        elif isinstance(parent, ast.Compare | ast.BoolOp):
            return False
        elif isinstance(parent, ast.comprehension | ast.If | ast.While | ast.Assert | ast.Expr):
            return isinstance(parent, ast.Expr) and _hands_over(child)
        elif isinstance(parent, ast.IfExp) and child is parent.test:
            return False
        elif isinstance(parent, ast.Assign):  # a gradient that takes a gradient's place is still one
            return not all(isinstance(target, ast.Attribute) and target.attr == "grad" for target in parent.targets)
        elif isinstance(parent, ast.AugAssign):
            return not (isinstance(parent.target, ast.Attribute) and parent.target.attr == "grad")
        elif isinstance(parent, ast.stmt):
            return not isinstance(parent, ast.Delete)
        child = parent
    return False


def _is_looked_at(
    node: ast.AST, parents: Parents, inside: list[tuple[ast.AST, Parents]], names: frozenset[str]
) -> bool:
    """Whether a gradient is only given names, under which nothing but figures are made of it."""
    child, targets = node, []
    for parent, above in zip(parents, (*parents[1:], None), strict=True):
        if isinstance(parent, ast.Attribute) and parent.attr in FIGURES - COMBINING:
            return True
        if isinstance(parent, ast.Attribute) and parent.attr in COMBINING:
            return isinstance(above, ast.Call) and not above.args and not above.keywords  # of all of its numbers
        if isinstance(parent, ast.Call) and child is not parent.func and _name(parent.func) in FIGURES - COMBINING:
            return True
        if isinstance(parent, ast.Compare):
            return all(isinstance(how, ast.Is | ast.IsNot) for how in parent.ops)  # is not None
        if isinstance(parent, ast.For | ast.comprehension) and child is parent.iter:
            targets = [parent.target]
        elif isinstance(parent, ast.Assign):
            targets = parent.targets
        elif not _is_shaped(child, parent):
            return False
        if targets:
            break
        child = parent
    found = {target.id for target in targets if isinstance(target, ast.Name)}
    if len(found) != len(targets) or not found:
        return False
    new = found - names
    reads = [one for one in inside if isinstance(one[0], ast.Name) and one[0].id in new and _is_load(one[0])]
    nested = (one for one, _ in inside if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
    if new and (not reads or any(new & _borrowed(function) for function in nested)):
        return False
    return all(_is_looked_at(other, above, inside, names | found) for other, above in reads)


def _borrowed(function: ast.AST) -> set[str]:
    """The names that a function reads and does not give to anything itself."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    own = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
    return {n.id for n in names if _is_load(n)} - {n.id for n in names if not _is_load(n)} - own


def _is_load(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Load)


def _is_shaped(child: ast.AST, parent: ast.AST) -> bool:
    """Whether an expression round a gradient is nothing but this gradient, or a collection of such."""
    if isinstance(parent, ast.Attribute):
        return parent.attr in SHAPING
    if isinstance(parent, ast.Call):
        return child is parent.func or _name(parent.func) in SHAPING
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, ast.Pow) and isinstance(parent.right, ast.Constant)
    if isinstance(parent, ast.comprehension):
        return False
    return isinstance(parent, ast.ListComp | ast.GeneratorExp | ast.List | ast.Tuple)


def _hands_over(statement: ast.AST) -> bool:
    """``sums.append(p.grad)``, ``total.add_(p.grad)``: a call of a method whose argument it is; not p.grad's own."""
    if not isinstance(statement, ast.Call) or not isinstance(statement.func, ast.Attribute):
        return False
    return not any(isinstance(node, ast.Attribute) and node.attr == "grad" for node in ast.walk(statement.func))


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
