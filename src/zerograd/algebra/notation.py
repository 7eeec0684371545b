"""The notation: @rule, @wrapper and @view turn plain functions into the objects that an optimizer is made of.

A rule's signature is its specification. ``g`` comes first, then ``p`` if it is wanted; the other positional names
are state, and their default says how they start; keyword-only names with a default are hyper-parameters, those
without one are supplied (``t``, ``first``, ``lr``; in a wrapper also a hyper-parameter of the wrapped rule).
"""

from __future__ import annotations

import functools
import inspect
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, overload

from zerograd.algebra.arithmetic import Number
from zerograd.algebra.graph import Node
from zerograd.algebra.refusals import located
from zerograd.algebra.states import Scalar, Start, StateSpec
from zerograd.algebra.verbs import where
from zerograd.errors import RuleError

SUPPLIED = ("t", "first", "lr")
GIVES = ("direction", "move")


class Supply(Protocol):
    """Where a rule's arguments come from: symbols while tracing, tensors and numbers in a direct call."""

    def state(self, name: str, spec: StateSpec) -> Any: ...
    def hyper(self, name: str) -> Any: ...
    def t(self) -> Any: ...
    def first(self, states: tuple[str, ...]) -> Any: ...


@dataclass(frozen=True)
class Requirement:
    """What hyper-parameters must satisfy: ``holds`` takes some of them by name."""

    message: str
    holds: Callable[..., bool]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(inspect.signature(self.holds).parameters)


class Function:
    """What rules, wrappers and views share: a plain function, read once, found again by name when pickled."""

    kind = "function"
    __name__: str
    view: View | None = None

    def __init__(self, function: Callable[..., Any]) -> None:
        if not hasattr(function, "__code__"):
            raise RuleError(f"{function!r} is no plain function; a {self.kind} is written with def or lambda")
        functools.update_wrapper(self, function)  # type: ignore[arg-type]  # it stands for the function
        self.function = function
        parameters = list(inspect.signature(function).parameters.values())
        for parameter in parameters:
            if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                self.refuse(f"*args, **kwargs and positional-only arguments have no meaning ({parameter})")
        self.positional = {p.name: p.default for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD}
        keywords = {p.name: p.default for p in parameters if p.kind == p.KEYWORD_ONLY}
        self.hypers = {name: default for name, default in keywords.items() if default is not inspect.Parameter.empty}
        self.supplied = tuple(name for name in keywords if name not in self.hypers)
        self.requirements: list[Requirement] = []
        self.parameter_requirements: list[Requirement] = []

    def requires(self, message: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
        """Decorator: a condition on hyper-parameters, checked when an optimizer is made. ``message``: what is wrong."""

        def add(holds: Callable[..., bool]) -> Callable[..., bool]:
            self.requirements.append(Requirement(message, holds))
            return holds

        return add

    def requires_parameters(self, message: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
        """Decorator: a condition on each parameter, checked when an optimizer gets it. ``message`` may name the
        {optimizer}, the {size} of the first parameter that it does not hold for, and the {indices} of all such."""

        def add(holds: Callable[..., bool]) -> Callable[..., bool]:
            self.parameter_requirements.append(Requirement(message, holds))
            return holds

        return add

    def refuse(self, problem: str) -> NoReturn:
        """Raise a RuleError that names this function, its file and line."""
        code = self.function.__code__
        raise RuleError(f"{self.kind} {self.function.__name__!r}, {code.co_filename}:{code.co_firstlineno}: {problem}")

    def __reduce__(self) -> str | tuple[Any, ...]:
        name = self.function.__qualname__
        if "<" in name:
            raise pickle.PicklingError(
                f"{self.kind} {name!r} of {self.function.__module__} can't be pickled: pickle finds it by its name, "
                "and a lambda or a local function has none; define it with def at the top level of a module"
            )
        return name

    def __copy__(self) -> Function:
        return self

    def __deepcopy__(self, _: Any) -> Function:
        return self

    def __repr__(self) -> str:
        return f"<{self.kind} {self.function.__name__}>"


class RuleFunction(Function):
    """A function in the notation of rules: states among its positional arguments, and what it returns."""

    starts: tuple[type, ...] = (int, float, Start, Scalar)
    supplies: tuple[str, ...] = SUPPLIED

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        names = list(self.positional)
        if self.kind == "wrapper":
            if not names or names[0] not in GIVES:
                self.refuse("the first argument is the wrapped rule, named by what it gives: direction or move")
            names = names[1:]
        if not names or names[0] != "g":
            self.refuse("the gradient g comes first")
        self.arguments = tuple(names)
        self.states: dict[str, StateSpec] = {}
        for name in names:
            if name not in ("g", "p"):
                default = self.positional[name]
                self.states[name] = 0.0 if default is inspect.Parameter.empty else default
        for name in self.supplies:
            if name in self.states or name in self.hypers:
                self.refuse(f"{name} is supplied by the engine: write it after the *, without a default")
        for name, spec in self.states.items():
            if isinstance(spec, bool) or not isinstance(spec, self.starts):
                kinds = [kind.__name__.lower() + "(...)" for kind in self.starts if kind not in (int, float)]
                self.refuse(
                    f"state {name} starts as {spec!r}: use a number{', ' if kinds[1:] else ' or '}{' or '.join(kinds)}"
                )


class Rule:
    """A rule, or a rule inside wrappers. Called with tensors it is its own reference; engines trace it.

    name: how it reads, ``decoupled(adam)``. states: name -> how it starts. hypers: name -> default.
    moves: it gives the new parameter, not a direction that the engine still multiplies with lr. owns_lr: lr is part of
    its formula; a direction wrapped round it is a whole step, and is applied without lr. view: the weights to
    evaluate, where they are not the parameters; set on the rule or wrapper whose state they are read from.
    """

    elementwise = True

    def __init__(self, own: RuleFunction, inner: Rule | None = None, defaults: Mapping[str, Any] | None = None) -> None:
        self.own, self.inner, self.defaults = own, inner, dict(defaults or {})
        if inner is not None and not inner.elementwise:
            own.refuse(f"{inner.name} is a rule on whole matrices, and wrappers go round rules on elements")
        self.name: str = own.__name__ if inner is None else f"{own.__name__}({inner.name})"
        self.gives = next(iter(own.positional)) if inner is not None else None
        inner_states = inner.states if inner is not None else {}
        inner_hypers = inner.hypers if inner is not None else {}
        clash = (inner_states.keys() | inner_hypers.keys()) & (own.states.keys() | own.hypers.keys())
        if clash:
            own.refuse(f"it and the wrapped {inner.name if inner else ''} both define {', '.join(sorted(clash))}")
        self.states: dict[str, StateSpec] = {**inner_states, **own.states}
        self.hypers: dict[str, Any] = {**inner_hypers, **own.hypers, **self.defaults}
        self._check_names()
        self.view: View | None = own.view or (inner.view if inner is not None else None)
        names_lr = "lr" in own.supplied and self.gives != "move"
        self.owns_lr: bool = names_lr or bool(inner and inner.owns_lr)
        self.moves: bool = "lr" in own.supplied or self.gives == "move" or bool(inner and inner.moves)
        if self.gives == "direction" and inner is not None and inner.owns_lr and "lr" in own.supplied:
            own.refuse(f"{inner.name} owns lr and gives no direction that lr could be applied to")
        functools.update_wrapper(self, own.function, updated=())

    def _check_names(self) -> None:
        own = self.own
        for name in self.defaults:
            if name not in (self.inner.hypers if self.inner else {}) and name not in own.hypers:
                own.refuse(f"{name} is no hyper-parameter of {self.name}")
        known = (*own.supplies, *(self.inner.hypers if self.inner else ()))
        for name in own.supplied:
            if name not in known:
                own.refuse(f"{name} has no default, and is not supplied: give it one, or use {', '.join(known)}")
        for name, spec in own.states.items():
            source = spec.name if isinstance(spec, Start) else spec.value if isinstance(spec, Scalar) else None
            choices = ("p", "g", "lr") if isinstance(spec, Start) else ("lr",)
            if isinstance(source, str) and source not in choices and source not in self.hypers:
                own.refuse(f"state {name} starts as {source!r}, which is none of {', '.join((*choices, *self.hypers))}")

    @property
    def requirements(self) -> list[Requirement]:
        return [*(self.inner.requirements if self.inner is not None else []), *self.own.requirements]

    @property
    def parameter_requirements(self) -> list[Requirement]:
        inner = self.inner.parameter_requirements if self.inner is not None else []
        return [*inner, *self.own.parameter_requirements]

    @property
    def functions(self) -> list[RuleFunction]:
        """From the outermost wrapper to the rule."""
        return [self.own, *(self.inner.functions if self.inner is not None else [])]

    def requires(self, message: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
        """Decorator: a condition on hyper-parameters, checked when an optimizer is made. ``message``: what is wrong."""
        return self.own.requires(message)

    def requires_parameters(self, message: str) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
        """Decorator: a condition on each parameter, checked when an optimizer gets it. ``message``: what is wrong."""
        return self.own.requires_parameters(message)

    def apply(self, g: Any, p: Any, supply: Supply) -> tuple[Any, dict[str, Any]]:
        """(direction or new parameter, new value of every state), from symbols or from tensors."""
        own, inner, new = self.own, self.inner, dict[str, Any]()
        given = {"g": g, "p": p, **{name: supply.state(name, spec) for name, spec in own.states.items()}}
        called = False

        def wrapped(g: Any, p: Any = p) -> Any:
            nonlocal called
            assert inner is not None
            if called:
                raise RuleError(f"{own.function.__name__} calls the wrapped rule twice; it must be called once")
            called = True
            result, states = inner.apply(g, p, supply)
            new.update(states)
            if self.gives == "move":
                return result if inner.moves else p - supply.hyper("lr") * result
            if not inner.moves:
                return result
            return p - result if inner.owns_lr else (p - result) * _inverse(supply.hyper("lr"))

        keywords = {name: supply.hyper(name) for name in own.hypers}
        for name in own.supplied:
            if name == "first":
                keywords[name] = supply.first(tuple(own.states))
            else:
                keywords[name] = supply.t() if name == "t" else supply.hyper(name)
        arguments = [given[name] for name in own.arguments]
        with located(own.kind, own.function):
            returned = own.function(*([wrapped] if inner is not None else []), *arguments, **keywords)
            if inner is not None and not called:
                raise RuleError(f"it never calls the wrapped rule {inner.name}")
            values = returned if isinstance(returned, tuple) else (returned, *(given[n] for n in own.states))
            if len(values) != 1 + len(own.states):
                what = ", ".join(["the direction" if not self.moves else "the new parameter", *own.states])
                raise RuleError(f"it returns {len(values)} values; it has {1 + len(own.states)} to return: {what}")
            if isinstance(g, Node):
                values = tuple(g.builder.const(value) for value in values)
        result = values[0]
        if inner is not None and self.gives == "direction" and inner.moves and "lr" not in own.supplied:
            result = p - result if inner.owns_lr else p - supply.hyper("lr") * result
        new.update(zip(own.states, values[1:], strict=True))
        return result, new

    def __call__(self, g: Any, *arguments: Any, **keywords: Any) -> Any:
        """The rule on tensors: what its function returns. Numbers divide as IEEE 754 says; only for unwrapped rules."""
        if self.inner is not None:
            raise TypeError(f"{self.name} is made of several functions; call {self.functions[-1].__name__} itself")
        plain = {**self.own.hypers, **keywords}
        return self.own.function(g, *map(_number, arguments), **{k: _number(v) for k, v in plain.items()})

    def __reduce__(self) -> Any:
        if self.inner is None:
            name = self.own.__reduce__()
            plain = self.own.function
            found = getattr(sys.modules.get(plain.__module__), plain.__qualname__, None)
            return (rule, (plain,)) if found is plain else name  # made from a function that kept its name
        return Rule, (self.own, self.inner, self.defaults)

    def __copy__(self) -> Rule:
        return self

    def __deepcopy__(self, _: Any) -> Rule:
        return self

    def __repr__(self) -> str:
        return f"<rule {self.name}>"


def _inverse(lr: Any) -> Any:
    """1 / lr, and 0 for 0: where nothing moves there is no direction to find."""
    return where(lr == 0, 0, 1 / lr)


def _number(value: Any) -> Any:
    """Plain floats, also inside tuples, as numbers that never raise."""
    if isinstance(value, (tuple, list)):
        return tuple(_number(v) for v in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return Number(value)


@dataclass(frozen=True, eq=False)
class Policy:
    """A weight-decay policy with its number, as the argument ``weight_decay=`` of an optimizer takes it."""

    wrapper: Wrapper
    weight_decay: float
    hypers: dict[str, Any] = field(default_factory=dict)

    def __float__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} is a policy of weight decay: give it to the constructor or to add_param_group(); a group that "
            "exists keeps its policy, and its weight_decay can be set to another number"
        )

    def placed_in(self, rule: Rule) -> Rule:
        """The same rule with this policy where its own policy sat; outermost if it had none."""
        swapped = self._swap(rule)
        if swapped is not None:
            return swapped
        if "weight_decay" in rule.hypers:
            raise TypeError(
                f"{rule.name} does its own weight decay inside its formula and takes no policy; "
                "give weight_decay a number"
            )
        return Rule(self.wrapper, rule, self.hypers)

    def _swap(self, rule: Rule) -> Rule | None:
        if rule.inner is None:
            return None
        if "weight_decay" in rule.own.hypers:
            return Rule(self.wrapper, rule.inner, self.hypers)
        inner = self._swap(rule.inner)
        return None if inner is None else Rule(rule.own, inner, rule.defaults)

    def __repr__(self) -> str:
        extra = "".join(f", {k}={v!r}" for k, v in self.hypers.items())
        return f"{self.wrapper.__name__}({self.weight_decay!r}{extra})"


class Wrapper(RuleFunction):
    """Rule -> rule. One with the hyper-parameter ``weight_decay`` is a policy: called with a number it gives one."""

    kind = "wrapper"

    @overload
    def __call__(self, wrapped: Rule, /, **hypers: Any) -> Rule: ...
    @overload
    def __call__(self, wrapped: float, /, **hypers: Any) -> Policy: ...
    def __call__(self, wrapped: Any, /, **hypers: Any) -> Any:
        if isinstance(wrapped, Rule):
            return Rule(self, wrapped, hypers)
        if "weight_decay" in self.hypers and isinstance(wrapped, (int, float)) and not isinstance(wrapped, bool):
            return Policy(self, wrapped, hypers)
        wants = "a rule or, as a weight-decay policy, a number" if "weight_decay" in self.hypers else "a rule"
        raise TypeError(f"{self.function.__name__}() wraps {wants}, not {wrapped!r}")


class _PlainRule(RuleFunction):
    kind = "rule"


class View(Function):
    """A reading of the parameter and its state that is no step, such as the weights to evaluate and to save."""

    kind = "view"

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.function(*arguments, **{name: _number(v) for name, v in {**self.hypers, **keywords}.items()})


def rule(function: Callable[..., Any]) -> Rule:
    """Decorator: a plain function becomes an update rule.

    It returns the direction ``u`` (the engine does ``p - lr * u``) and then every state's new value in the
    signature's order; ``return u`` alone keeps the states. A rule that names ``lr`` returns the new parameter instead.
    Raises RuleError for what is no plain function, and for arguments that have no meaning.

    >>> @rule
    ... def heavy_ball(g, momentum_buffer, *, momentum=0.9):
    ...     momentum_buffer = momentum * momentum_buffer + g
    ...     return momentum_buffer, momentum_buffer
    """
    return Rule(_PlainRule(function))


def wrapper(function: Callable[..., Any]) -> Wrapper:
    """Decorator: a function around a rule. Its first argument is the wrapped rule, named by what calling it gives:
    ``direction(g)`` a direction, ``move(g, p)`` the new parameter. It returns the same kind, then its own states.
    Raises RuleError as ``rule`` does.

    >>> @wrapper
    ... def l2(move, g, p, *, weight_decay=0.0):
    ...     return move(g + weight_decay * p, p)
    """
    return Wrapper(function)


def view(function: Callable[..., Any]) -> View:
    """Decorator: a reading ``f(p, some states, *, some hyper-parameters)``; RuleError for what is no function."""
    return View(function)
