"""Optimizers that never step: what is done with one, in all of the text and the tree that can see it."""

from __future__ import annotations

import ast
import re

from zerograd.linting.binding import Binder
from zerograd.linting.instances import wrapped_by
from zerograd.linting.modules import Module
from zerograd.linting.paths import KEY, Path, name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import OTHER_CLASSES, is_harmless, makes_an_optimizer, only_reports
from zerograd.linting.scopes import Class, Function, Scope
from zerograd.linting.trees import walk_tree

LEFT_ALONE = frozenset({"zero_grad", "param_groups", "state_dict", "load_state_dict", "add_param_group", "state"})
"""What may be done with an optimizer that does not step."""
TAKES_OVER = pattern(r"closure|autograd\.grad|def on_|optimizer_step")
PLAIN_BASES = frozenset({"object", "Module", "LightningModule", "ABC", "Generic", "Protocol"})
"""Base classes of other packages that never step an attribute of their own accord."""
OWN_CALL = pattern(r"(?:self|super\(\))\.(\w*(?:step|update|apply|optimi[sz]e|train|learn|hook|on_|grad)\w*)\(")
"""Methods that may take a step, called by an object of its own."""
USES = pattern(r"grads?$|gradients?$|grads?_|fisher|hessian|influence|importance")
"""Names of functions that use gradients without a step."""
MEASURES = frozenset({"add_histogram", "add_scalar", "Histogram", "isinf", "isnan", "isfinite", "all_reduce"})
"""Calls that are handed a gradient and make nothing of it."""
NO_USE = pattern(
    r"(?:zero|no|enable|requires|clip|scale|average|reduce|accum\w*|set|retain|manual)_grad|grad_norm|gradient_accum"
    r"|optimizer_grad|norm_|clip"
)


def text_of(module: Module, node: ast.AST) -> str:
    """The lines of a node; of the whole file for the module itself."""
    if isinstance(node, ast.Module):
        return module.text
    return "\n".join(module.rows[getattr(node, "lineno", 1) - 1 : getattr(node, "end_lineno", 0)])


def without_idle_names(module: Module, text: str) -> str:
    """A text without the names of the file's functions that sound like a step and take none: ``make_train_step(``."""
    if "step" not in text:
        return text
    idle = {f.name for f in module.functions if "step" in f.name and not module.steps(f.node) and f.owner is None}
    return re.sub(rf"(?<!\.)\b(?:{'|'.join(sorted(map(re.escape, idle)))})\(", "(", text) if idle else text


def steps(words: str, text: str) -> bool:
    """Whether a text has something that steps an optimizer of this name, or hands it to something to step."""
    before, _, name = words.rpartition(".")
    bare = name.lstrip("_")
    lines = [line for line in text.split("\n") if "step" in line and bare in line] if bare in text else []
    if not lines:
        return False
    word = (re.escape(before) + r"\." if before else "") + "_?" + re.escape(bare)
    stepping = re.compile(rf"\b{word}\b[\w\[\]\"'.]*\.\w*step|step\w*\([^)\n]*\b{word}\b")
    return any(map(stepping.search, lines))


def without_other_keys(path: Path, text: str) -> str:
    """A text without the elements of a collection that have another constant for a key than this one."""
    if path.key is None or path.last not in text:
        return text
    element = re.compile(rf"\b{re.escape(path.last)}{KEY}")
    return element.sub(lambda found: found[0] if path.key in (found[1], found[2]) else "", text)


def words_of(path: Path) -> str:
    """How a text speaks of an optimizer: its name, with the object's that it is an attribute of."""
    return ".".join(path.parts[1:] if isinstance(path.home, Class) else path.parts)


def never_steps(module: Module, path: Path, binder: Binder, around: ast.AST | None = None) -> bool:
    """Whether nothing that sees an optimizer may step it. ``around``: where that would have to be."""
    if isinstance(path.home, Class) and _parent_may_step(path.home, words_of(path), binder, around):
        return False
    if any(steps(words_of(inner), text_of(module, inner.home.node)) for inner in wrapped_by(binder, path)):
        return False
    node, words = path.home.node, words_of(path)
    own = without_idle_names(module, text_of(module, node))
    if "[" in words or "*" in words or TAKES_OVER.search(own) or steps(words, own):
        return False
    if len(path.parts) > 2:
        return not steps(words, without_idle_names(module, module.text)) and _is_left_alone(node, path)
    if isinstance(path.home, Class):
        others = set(re.findall(rf"(\w+)\.{re.escape(path.parts[-1])}\b", module.text))
        if others - {"self", path.parts[-2]}:
            return False
    return _is_left_alone(node, path)


def _parent_may_step(owner: Class, words: str, binder: Binder, around: ast.AST | None) -> bool:
    """Whether a class that this one is derived from steps its optimizer, or is not known.

    ``around``: where it would have to be called.
    """
    if around is not None:
        called = set(OWN_CALL.findall(text_of(owner.scope.module, around)))
        if not called - owner.methods.keys():
            return False
    for ancestor in binder.ancestry(owner):
        if ancestor is not owner and steps(words, text_of(ancestor.scope.module, ancestor.node)):
            return True
        for base in ancestor.node.bases:
            name = name_of(base.value if isinstance(base, ast.Subscript) else base)
            if name not in PLAIN_BASES and binder.find_class(base, ancestor.scope) is None:
                return True
    return False


def has_open_methods(owner: Class) -> bool:
    """Whether a class has methods that do nothing, which classes derived from it are to fill in."""
    return any(map(is_open, owner.methods.values()))


def is_open(function: Function) -> bool:
    """Whether a function does nothing, so that another one may come in its place."""
    return all(map(_does_nothing, getattr(function.node, "body", [None])))


def _does_nothing(statement: object) -> bool:
    """Whether a statement is a text, ``pass``, ``...`` or ``raise NotImplementedError``."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        return any(isinstance(part, ast.Name) and part.id == "NotImplementedError" for part in walk_tree(statement.exc))
    return isinstance(statement, ast.Pass)


def is_given_one_thing_twice(scope: Scope) -> bool:
    """Whether a call in the file hands one thing over for two parameters, so that two optimizers may be one."""
    name = getattr(scope.node, "name", "")
    for given in re.findall(rf"\b{re.escape(name)}\(([^()\n]*(?:\([^()\n]*\)[^()\n]*)*)\)", scope.module.text):
        words = [word.strip() for word in given.split(",")]
        if len(words) > len(set(words)):
            return True
    return False


def are_used(node: ast.AST) -> bool:
    """Whether something in a function looks at gradients: for such a function backward is enough."""
    scaled = {
        part
        for statement in walk_tree(node)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
        if getattr(statement.value.func, "attr", "").endswith("_")
        for part in walk_tree(statement.value.func)
    }
    scaled |= {part for measured in walk_tree(node) if _is_measured(measured) for part in walk_tree(measured)}
    for current in walk_tree(node):
        if _is_gradient(current) and current not in scaled:
            return True
        if isinstance(current, ast.Call):
            name = getattr(current.func, "attr", getattr(current.func, "id", ""))
            if USES.search(name) and not NO_USE.search(name):
                return True
    return False


def _is_gradient(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr in ("grad", "_grad") and not isinstance(node.ctx, ast.Del)


def _is_measured(node: ast.AST) -> bool:
    """Whether a gradient is only looked at, or exchanged: ``p.grad is None``, ``p.grad.data.norm(2)``."""
    if isinstance(node, ast.Compare):
        return isinstance(node.left, ast.Attribute) and isinstance(node.ops[0], (ast.Is, ast.IsNot))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in MEASURES or only_reports(name_of(node.func.value))
    return isinstance(node, ast.Attribute) and node.attr == "norm"


def _is_left_alone(node: ast.AST, path: Path) -> bool:
    """Whether an optimizer is at most cleared, saved and handed to schedulers."""
    allowed: set[ast.AST] = set()
    for current in walk_tree(node):
        if isinstance(current, ast.Attribute) and current.attr in LEFT_ALONE:
            allowed.add(current.value)
        elif isinstance(current, ast.Call):
            name = getattr(current.func, "attr", getattr(current.func, "id", ""))
            if OTHER_CLASSES.search(name) or (
                is_harmless(name) and not (name[:1].isupper() and makes_an_optimizer([name]))
            ):
                allowed.update(current.args)
                allowed.update(keyword.value for keyword in current.keywords)
        elif isinstance(current, ast.Compare):
            allowed.add(current.left)
        elif isinstance(current, ast.If):
            allowed.add(current.test)
    return not any(_is(current, path) and current not in allowed for current in walk_tree(node))


def _is(node: ast.AST, path: Path) -> bool:
    """Whether a node reads the optimizer."""
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return False
    if isinstance(node, ast.Name):
        return len(path.parts) == 1 and node.id == path.last
    return (
        isinstance(node, ast.Attribute)
        and len(path.parts) > 1
        and node.attr == path.last
        and (len(path.parts) < 3 or getattr(node.value, "attr", getattr(node.value, "id", "")) == path.parts[-2])
    )
