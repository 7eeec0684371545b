"""From a rule to an optimizer class: its signature, its documentation, its pickling."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import torch

from zerograd.algebra.notation import Rule, View
from zerograd.algebra.notation import rule as as_rule
from zerograd.algebra.states import Scalar
from zerograd.engine.documentation import LazyDocument
from zerograd.engine.evaluation import TRAINING_WEIGHTS
from zerograd.engine.optimizer import RuleOptimizer, bind
from zerograd.engine.programs import programs_of
from zerograd.engine.validation import POLICY

FLAGS: dict[str, Any] = {
    "maximize": False,
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
}
"""What constructors take besides the rule's hyper-parameters. foreach, fused and capturable choose among torch's
implementations; here they are accepted, kept in the groups as torch keeps them, and needless."""

EXTRAS: dict[str, Any] = {"clip": None, "state_format": None, "weight_format": None, "nonfinite": "propagate"}
"""What constructors take beyond torch's, by keyword. They stand in no group unless the user puts them there."""

_EMPTY = inspect.Parameter.empty
_RESERVED = {"params", "param_names", "step", TRAINING_WEIGHTS, POLICY, *FLAGS, *EXTRAS}


def from_rule(
    rule: Any,
    *,
    name: str | None = None,
    lr: float | None = None,
    order: str | None = None,
    keeps_step: bool | type[int] = True,
    sparse: str | None = None,
    view: View | None = None,
    base: type[RuleOptimizer] = RuleOptimizer,
    torchs: type[torch.optim.Optimizer] | None = None,
    starts_early: bool = False,
    group_keys: Mapping[str, Any] | None = None,
    check: Callable[[Mapping[str, Any]], None] | None = None,
    **defaults: Any,
) -> type[RuleOptimizer]:
    """An optimizer class from a rule, with torch.optim's interface.

    rule: what ``@rule`` made, in wrappers if wanted, or ``@matrix_rule``; a plain function in the notation will do.
    name: of the class; by default the rule's, in capitals. lr: default learning rate; without one it is required.
    order: the constructor's arguments after params, ``*`` before those by keyword only; by default lr and the
    hyper-parameters, then the flags by keyword. keeps_step: keep a step count even if the rule does not read it;
    int writes it into checkpoints as a whole number. sparse: None refuses sparse gradients, "rows" leaves rows without
    a gradient alone, "only" refuses all others, "dense" takes them as zeros.
    view: the weights that ``eval()`` puts into the parameters; by default the rule's.
    base: a class that this one counts as. torchs: torch's class that objects are instances of, too; nothing of it runs.
    starts_early: the constructor makes the states, not the first step.
    group_keys: fixed keys that every group has, for readers of its checkpoints.
    check: called with the constructor's arguments by name; raises for what can't go together.
    defaults: other defaults for hyper-parameters.

    Objects pickle by the rule's qualified name, so a rule that is to be pickled needs one (not a lambda).

    >>> import torch, zerograd
    >>> SignSGD = zerograd.from_rule(lambda g: zerograd.algebra.sign(g), name="SignSGD", lr=0.1)
    >>> w = torch.tensor([1.0, -2.0], requires_grad=True)
    >>> w.grad = torch.tensor([0.5, -0.5])
    >>> SignSGD([w]).step()
    >>> w
    tensor([ 0.9000, -1.9000], requires_grad=True)
    """
    made = rule if isinstance(rule, Rule) else as_rule(rule)
    if not isinstance(made, Rule):
        raise TypeError(f"from_rule() takes a rule, not {rule!r}")
    for key in defaults:
        if key not in made.hypers:
            raise TypeError(f"from_rule(): {key} is no hyper-parameter of {made.name}; it has {', '.join(made.hypers)}")
    if sparse not in (None, "rows", "only", "dense"):
        raise ValueError(f"from_rule(): sparse={sparse!r}; it is None, 'rows', 'only' or 'dense'")
    if clash := (made.states.keys() | made.hypers.keys()) & _RESERVED:
        raise TypeError(f"from_rule(): {made.name} uses the reserved names {', '.join(sorted(clash))}")
    _check_view(made, view or made.view)
    recipe = {
        "name": name, "lr": lr, "order": order, "keeps_step": keeps_step, "sparse": sparse, "view": view,
        "starts_early": starts_early, "group_keys": group_keys, "check": check, **defaults,
    }  # fmt: skip
    values = {"lr": _EMPTY if lr is None else lr, **made.hypers, **defaults, **FLAGS, **EXTRAS}
    names = _order(made, order, values)
    names += [*([] if "*" in names else ["*"]), *(name for name in EXTRAS if name not in names)]
    signature = _signature(names, values)
    class_name = name or "".join(
        word[:1].upper() + word[1:] for word in made.name.replace("(", "_").strip(")").split("_")
    )

    def initialise(self: RuleOptimizer, *args: Any, **keywords: Any) -> None:
        given = bind(signature, class_name, args, keywords)
        RuleOptimizer.__init__(self, given.pop("params"), **given)

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    initialise.__signature__ = signature.replace(parameters=[own, *signature.parameters.values()])  # type: ignore[attr-defined]
    initialise.__name__, initialise.__qualname__ = "__init__", f"{class_name}.__init__"
    body = {
        "__init__": initialise,
        "__module__": sys._getframe(1).f_globals.get("__name__", "__main__"),
        "__qualname__": class_name,
        "rule": made,
        "order": tuple(signature.parameters),
        "keeps_step": keeps_step,
        "sparse": sparse,
        "view": view or made.view,
        "starts_early": starts_early,
        "group_keys": dict(group_keys or {}),
        "class_programs": programs_of(made),
        "_check": staticmethod(check) if check else None,
        "_recipe": recipe,
        "__doc__": LazyDocument(),
    }
    return type(class_name, (base,) if torchs is None else (base, torchs), body)


def _check_view(rule: Rule, view: View | None) -> None:
    if view is not None:
        tensors = {"p", *(name for name, spec in rule.states.items() if not isinstance(spec, Scalar))}
        wanted = [n for n in view.positional if n not in tensors]
        wanted += [n for n in view.supplied if n not in ("lr", *rule.hypers)]
        if wanted:
            raise TypeError(f"from_rule(): {view!r} reads {', '.join(wanted)}, which {rule.name} does not have")


def _order(rule: Rule, order: str | None, values: dict[str, Any]) -> list[str]:
    if order is None:
        return ["lr", *rule.hypers, "*", *FLAGS]
    names = order.split()
    listed = set(names) - {"*"}
    if unknown := listed - values.keys():
        raise TypeError(f"from_rule(): order names {', '.join(sorted(unknown))}, which {rule.name} does not have")
    if missing := {"lr", *rule.hypers} - listed:
        raise TypeError(f"from_rule(): order leaves out {', '.join(sorted(missing))} of {rule.name}")
    return names


def _signature(order: list[str], values: dict[str, Any]) -> inspect.Signature:
    parameters = [inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    by_keyword = False
    for name in order:
        if name == "*":
            by_keyword = True
        else:
            kind = inspect.Parameter.KEYWORD_ONLY if by_keyword else inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters.append(inspect.Parameter(name, kind, default=values[name]))
    return inspect.Signature(parameters)


class _ClassOf:
    """The class of an object that is being copied or pickled. A copy has the very same class; pickle finds it by a name
    in its module, whatever the name, or else makes it again from the rule and the recipe."""

    def __init__(self, cls: type[RuleOptimizer]) -> None:
        self.cls = cls

    def __deepcopy__(self, _: Any) -> _ClassOf:
        return self

    def __reduce__(self) -> Any:
        cls = self.cls
        for name, value in vars(sys.modules.get(cls.__module__)).items() if cls.__module__ in sys.modules else ():
            if value is cls:
                return _found, (cls.__module__, name)
        return _rebuilt, (cls.rule, cls.__dict__["_recipe"], cls.__module__)


def reduced(optimizer: RuleOptimizer, protocol: Any) -> Any:
    """How an object is copied and pickled: a user's subclass as any object, a class made here by name or recipe."""
    cls = type(optimizer)
    if "_recipe" not in cls.__dict__:
        return object.__reduce_ex__(optimizer, protocol)
    return _blank, (_ClassOf(cls),), optimizer.__getstate__()


def _blank(of: _ClassOf) -> RuleOptimizer:
    return of.cls.__new__(of.cls)


def _found(module: str, name: str) -> _ClassOf:
    return _ClassOf(getattr(import_module(module), name))


def _rebuilt(rule: Rule, recipe: dict[str, Any], module: str) -> _ClassOf:
    cls = from_rule(rule, **recipe)
    cls.__module__ = module
    return _ClassOf(cls)
