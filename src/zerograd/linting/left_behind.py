"""Backward passes whose gradients are cleared, or left behind, with no step of the optimizer in the whole function."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from zerograd.linting.constant_branches import constant_at, known_at, opposite
from zerograd.linting.context import Context
from zerograd.linting.graph import Graph, walk
from zerograd.linting.idle import (
    TAKES_OVER,
    are_used,
    is_given_one_thing_twice,
    is_open,
    steps,
    text_of,
    without_idle_names,
    without_other_keys,
)
from zerograd.linting.paths import Path, frame_of, name_of
from zerograd.linting.patterns import pattern
from zerograd.linting.receivers import (
    is_harmless,
    only_reports,
    snake,
    sounds_like_an_optimizer,
    steps_otherwise,
    suspicion,
)
from zerograd.linting.scopes import Class, chain
from zerograd.linting.state import BACKWARD, CLEAR, OTHER, UNKNOWN, View, related
from zerograd.linting.trees import names_in, walk_tree
from zerograd.stand_ins import dataclass

WHOLE = pattern(r"step|train|update|learn|fit|optimi[sz]e|epoch|batch|^main|^run|iter|loop|^__call__$|^forward$")
"""Names of functions that do the whole of a step, so that no caller is left to take it."""
PART = pattern(r"grads?(?:_|$)|gradient|backward|loss|zero|bench|profil|time|find|warm|dummy|attack|test|accumulate")
"""Names of functions that do a part of one, or are no training."""
TAKES = pattern(r"(?:^|_)(?:apply|update|step|optimi[sz]e|minimi[sz]e)(?:_|$)")
"""Methods that may take a step, where what they do is not known."""
TAKES_NOTHING = pattern(r"current|^get|^is_|num_|count|target|(?:^|_)lr|ema(?:_|$)")
STEPPER = pattern(r"(\w*)[\])]*\.\w*step\b")
WALKED = pattern(r"\bfor (\w+) in (?:\w+\.)*(\w+)\b")
HANDED_ON = pattern(r"^(?:__init__|setup|make|create|build|init|instantiate)")
"""Calls that are handed an optimizer to hold or to wrap it."""


@dataclass(frozen=True)
class Unstepped:
    """``backward`` and ``clear`` of an optimizer that does not step."""

    view: View
    backward: int
    clear: int


def unstepped(context: Context) -> Iterator[Unstepped]:
    """The optimizers of a function that are cleared, whose gradients are made, and that never step."""
    if context.module.hooked or "closure" in text_of(context.module, context.node):
        return
    for path in _cleared(context):
        view = View(context.graph, context.binder, path, True, context.live)
        found = _left_behind(context, view)
        given = path.home is context.scope and path.parts[0] in context.scope.parameters
        if found is not None and not (given and context.optimizers and is_given_one_thing_twice(context.scope)):
            yield found


def _cleared(context: Context) -> list[Path]:
    """The optimizers that are cleared and are none of those that step."""
    found: list[Path] = []
    seen: set[Path] = set()
    for node, event in context.graph.at(CLEAR):
        path = event.path
        if path is None or path in seen or event.of_module or event.made or node not in context.live:
            continue
        if event.module is not context.module or ("*" in path.parts and not _is_all_in_sight(context, path)):
            continue
        seen.add(path)
        if all(related(context.binder, path, other) is False for other in (*context.optimizers, *found)):
            found.append(path)
    return found


def _is_all_in_sight(context: Context, path: Path) -> bool:
    """Whether a whole collection is made in a function, or by a class, that steps nothing whatever its name."""
    whole = path.whole
    if (
        "*" in whole.parts
        or not context.binder.values(whole)
        or whole.parts[0] in getattr(whole.home, "parameters", ())
    ):
        return False
    if whole.home is not context.scope and not isinstance(whole.home, Class):
        return False
    text = text_of(context.module, whole.home.node)
    walked = dict(WALKED.findall(text))
    steppers = {walked.get(name, name) for name in STEPPER.findall(text)}
    return all(map(steps_otherwise, steppers)) and "optimizer_step" not in text


def _left_behind(context: Context, view: View) -> Unstepped | None:
    loops = context.graph.loops
    clears = [node for node in view.of(CLEAR) if not view.event(node).made]
    for backward, clear in _pairs(view, clears):
        apart = _apart(context, backward)
        if view.event(backward).module is not context.module or _is_unknown_after(view, backward, apart):
            continue
        around = [loop for loop in loops[backward] if loop in loops[clear]]
        region: ast.AST = around[-1].node if around else context.node
        if are_used(region) or any(_takes_over(node, context) for node in walk_tree(region)):
            continue
        if (around and _is_cleared_again(view, backward, apart)) or _is_nobody_elses(context, view.path):
            return Unstepped(view, backward, clear)
    return None


def _pairs(view: View, clears: list[int]) -> Iterator[tuple[int, int]]:
    """A backward with the clear right before it; else with the one right after it, with no other step between."""
    found = False
    for clear in clears:
        for backward in sorted(view.after(clear, BACKWARD, CLEAR, UNKNOWN, OTHER)):
            if view.kinds[backward] == BACKWARD:
                found = True
                yield backward, clear
    for backward in view.of(BACKWARD) if not found else ():
        following = view.after(backward, CLEAR, UNKNOWN, OTHER, BACKWARD)
        if view.are(following, CLEAR):
            yield backward, min(following)


def _takes_over(node: ast.AST, context: Context) -> bool:
    """Whether a call of something that is not known may take the step: ``self.trainer.apply()``."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if suspicion(node.func.attr) and (known := context.binder.find_callee(node.func, frame_of(context.scope))):
        return is_open(known[0])
    if not TAKES.search(node.func.attr) or TAKES_NOTHING.search(node.func.attr):
        return False
    receiver = chain(node.func.value)
    last = receiver[-1] if receiver else ""
    if steps_otherwise(last) or only_reports(last) or node.func.attr == "step":
        return False  # a step is an event of its own
    if node.func.attr == "update" and (node.args or node.keywords or "scaler" in last.lower()):
        return False  # a dictionary's, a meter's
    return context.binder.find_callee(node.func, frame_of(context.scope)) is None


def _apart(context: Context, backward: int) -> set[int]:
    """The nodes of the other branch of a condition that never changes: no run comes to both."""
    barred = opposite(constant_at(context, backward))
    guards = context.graph.guards
    return {node for node in context.live if not barred.isdisjoint(known_at(guards[node]))} if barred else set()


def _is_unknown_after(view: View, backward: int, apart: set[int]) -> bool:
    """Whether anything unknown may happen between a backward and the next clear, which may be a step."""
    return any(view.kinds[at] == UNKNOWN for at in view.after(backward, CLEAR, UNKNOWN) - apart)


def _is_cleared_again(view: View, backward: int, apart: set[int]) -> bool:
    """Whether every way from a backward, that does not leave the function, comes to a clear."""
    ends = set(walk(view.graph.following, [backward], lambda at: at in apart or view.kinds.get(at) == CLEAR)) - apart
    return any(view.kinds.get(at) == CLEAR for at in ends) and not any(
        view.kinds.get(at) == UNKNOWN for at in ends if at != Graph.EXIT
    )


def _is_nobody_elses(context: Context, path: Path) -> bool:
    """Whether no other function of the file, and no caller, can be the one to take the step."""
    function, text = context.function, without_idle_names(context.module, context.module.text)
    name = snake(function.name) if function is not None else ""
    if function is not None and (PART.search(name) or not WHOLE.search(name)):
        return False
    if isinstance(path.home, Class):
        for ancestor in context.binder.ancestry(path.home):
            if steps(path.last, without_other_keys(path, text_of(ancestor.scope.module, ancestor.node))):
                return False
    own = function.name if function is not None else ""
    if own:
        text = re.sub(rf"\b{re.escape(own)}\(", "(", text)  # a call of it is no step beside it
    if steps(path.last, without_other_keys(path, text)) or TAKES_OVER.search(text_of(context.module, context.node)):
        return False
    if any(steps(name, text) for name in (*_names_of_callers(context, path), *_other_names(context, path))):
        return False
    return not any(_may_step(node, path, own) for node in walk_tree(context.module.tree))


def _other_names(context: Context, path: Path) -> set[str]:
    """The names that an optimizer is assigned to anywhere in the file: ``optimizer = optimizers[name]``."""
    return {
        name
        for node in walk_tree(context.module.tree)
        if isinstance(node, ast.Assign) and path.last in chain(node.value)
        for target in node.targets
        if (name := name_of(target)) and name != path.last
    }


def _names_of_callers(context: Context, path: Path) -> set[str]:
    """What a parameter is called where its function is called: ``step_of(model, opt)`` for ``optimizer``."""
    name, parameters = getattr(path.home.node, "name", ""), list(getattr(path.home, "parameters", ()))
    if not name or path.parts[0] not in parameters:
        return set()
    index = parameters.index(path.parts[0]) - (getattr(path.home, "owner", None) is not None)
    calls = [
        node for node in walk_tree(context.module.tree) if isinstance(node, ast.Call) and name_of(node.func) == name
    ]
    given = [argument for call in calls for argument in call.args[index : index + 1]]
    given += [word.value for call in calls for word in call.keywords if word.arg == path.parts[0]]
    return {words[-1] for argument in given if (words := chain(argument)) and words[-1][0] != "["}


def _may_step(node: ast.AST, path: Path, own: str) -> bool:
    """Whether a node is a loop that steps whatever it walks through, or hands the optimizer to something."""
    if isinstance(node, (ast.For, ast.AsyncFor)):
        names = names_in(node.target)
        return any(
            isinstance(part, ast.Attribute) and part.attr == "step" and name_of(part.value) in names
            for part in walk_tree(node)
            if not isinstance(part, ast.Name)
        ) and any(map(sounds_like_an_optimizer, names))
    if not isinstance(node, ast.Call):
        return False
    name = name_of(node.func)
    if not name or name == own or name[:1].isupper() or is_harmless(name) or HANDED_ON.search(name):
        return False
    given = [chain(argument) for argument in (*node.args, *(keyword.value for keyword in node.keywords))]
    return any(words[-1:] == (path.last,) and not words[0][:1].isupper() for words in given)
